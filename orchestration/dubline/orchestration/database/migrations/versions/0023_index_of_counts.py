"""Index from which the jobs of a batch are counted by state.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS jobs_counted")
        op.execute("CREATE INDEX CONCURRENTLY jobs_counted ON jobs (batch_id, tenant, state)")


def downgrade() -> None:
    op.execute("DROP INDEX jobs_counted")
