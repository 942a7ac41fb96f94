"""Usage rows of jobs that ended before, the index of the audit log, and the checks of the previous migration.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    INSERT INTO usage (job_id, tenant, day, preset, state, video_s, device_s, size_bytes)
    SELECT id, tenant, (finalized_at AT TIME ZONE 'UTC')::date, preset, state,
        coalesce(result_duration_s, 0), gpu_s, coalesce(result_size_bytes, 0)
    FROM jobs WHERE finalized_at IS NOT NULL
    ON CONFLICT DO NOTHING
    """,
    "CREATE INDEX IF NOT EXISTS usage_tenant_day ON usage (tenant, day)",
    """
    ALTER TABLE audit
        VALIDATE CONSTRAINT audit_action_check,
        VALIDATE CONSTRAINT audit_subject_kind_check,
        VALIDATE CONSTRAINT audit_orphan_check,
        VALIDATE CONSTRAINT audit_subject_check
    """,
    "DROP INDEX CONCURRENTLY IF EXISTS audit_tenant_at",
    "CREATE INDEX CONCURRENTLY audit_tenant_at ON audit (tenant, at, id)",
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for statement in STATEMENTS:
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX audit_tenant_at")
