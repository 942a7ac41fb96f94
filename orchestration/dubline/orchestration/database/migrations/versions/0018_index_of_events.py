"""Index of the events of each kind, in their order.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_order_of_kind")
        op.execute("CREATE INDEX CONCURRENTLY events_order_of_kind ON events (kind, transaction_id, id)")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS events_order")


def downgrade() -> None:
    op.execute("CREATE INDEX events_order ON events (transaction_id, id)")
    op.execute("DROP INDEX events_order_of_kind")
