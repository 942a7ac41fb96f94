"""Traces of requests, continued by workers and by the publisher of the outbox.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("jobs", "outbox"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN traceparent text")


def downgrade() -> None:
    for table in ("jobs", "outbox"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN traceparent")
