"""What tenants held before the triggers of the previous migration.

Written in SQL and never changed: it must not depend on the row classes, which change later. The statement can be
repeated: in one snapshot it inserts the difference between the tables and the changes that were recorded.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FILL = """
INSERT INTO holdings (tenant, jobs, speech_ms, stored_bytes)
SELECT tenant, sum(jobs), sum(speech_ms), sum(stored_bytes) FROM (
    SELECT tenant, count(*) FILTER (WHERE finalized_at IS NULL) AS jobs,
        coalesce(sum(round(speech_s * 1000)) FILTER (WHERE finalized_at IS NULL), 0) AS speech_ms,
        coalesce(sum(result_size_bytes) FILTER (WHERE result_deleted_at IS NULL), 0) AS stored_bytes
    FROM jobs GROUP BY tenant
    UNION ALL SELECT tenant, 0, 0, sum(size_bytes) FROM uploads GROUP BY tenant
    UNION ALL SELECT tenant, -sum(jobs), -sum(speech_ms), -sum(stored_bytes) FROM holdings GROUP BY tenant
) AS difference
GROUP BY tenant
HAVING (sum(jobs), sum(speech_ms), sum(stored_bytes)) <> (0, 0, 0)
"""


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute(FILL)


def downgrade() -> None:
    op.execute("TRUNCATE holdings")
