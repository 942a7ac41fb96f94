"""The jobs that waited before the triggers of the previous migration, and its checks of existing rows.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one: in one snapshot the first inserts the difference between the jobs and
the changes that were recorded.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

FILL = """
INSERT INTO waiting_work (preset, crop_size, jobs, work_ms)
SELECT preset, crop_size, sum(jobs), sum(work_ms) FROM (
    SELECT preset, coalesce(crop_size, 'medium') AS crop_size, 1 AS jobs,
        round(1000 * coalesce(work_s, cost_s, speech_s))::bigint AS work_ms
    FROM jobs WHERE state = 'queued'
    UNION ALL SELECT preset, crop_size, -jobs, -work_ms FROM waiting_work
) AS difference
GROUP BY preset, crop_size HAVING (sum(jobs), sum(work_ms)) <> (0, 0)
"""


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute(FILL)
        op.execute("ALTER TABLE jobs VALIDATE CONSTRAINT jobs_work_check")
        op.execute("ALTER TABLE jobs VALIDATE CONSTRAINT jobs_crop_size_check")


def downgrade() -> None:
    op.execute("TRUNCATE waiting_work")
