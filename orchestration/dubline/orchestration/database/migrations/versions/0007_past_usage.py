"""Usage rows of jobs that ended before, the index of the audit log, and the checks of the previous migration.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from dubline.orchestration.database.migrations import without_blocking

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# In pages: one statement for all rows would keep its transaction open, and readers of events wait for its end.
PAST = text("""
WITH page AS (
    SELECT * FROM jobs WHERE id > :after ORDER BY id LIMIT 10000
), written AS (
    INSERT INTO usage (job_id, tenant, day, preset, state, video_s, device_s, size_bytes)
    SELECT id, tenant, (finalized_at AT TIME ZONE 'UTC')::date, preset, state,
        coalesce(result_duration_s, 0), gpu_s, coalesce(result_size_bytes, 0)
    FROM page WHERE finalized_at IS NOT NULL ON CONFLICT DO NOTHING
)
SELECT id FROM page ORDER BY id DESC LIMIT 1
""")
VALIDATE = """
ALTER TABLE audit
    VALIDATE CONSTRAINT audit_action_check,
    VALIDATE CONSTRAINT audit_subject_kind_check,
    VALIDATE CONSTRAINT audit_orphan_check,
    VALIDATE CONSTRAINT audit_subject_check
"""
INDEXES = {"usage_tenant_day": "usage (tenant, day)", "audit_tenant_at": "audit (tenant, at, id)"}


def upgrade() -> None:
    with without_blocking(op.get_context()):
        after = "00000000-0000-0000-0000-000000000000"
        while after is not None:
            after = op.get_bind().scalar(PAST, {"after": after})
        op.execute(VALIDATE)
        for name, on in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {on}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
