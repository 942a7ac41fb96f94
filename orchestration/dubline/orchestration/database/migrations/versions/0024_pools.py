"""Pools of workers and of their attempts.

Written in SQL and never changed: it must not depend on the row classes, which change later. A constant default changes
no row of the table.
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN pool text NOT NULL DEFAULT 'default'")
    op.execute("ALTER TABLE workers ADD COLUMN pool text NOT NULL DEFAULT 'default'")


def downgrade() -> None:
    op.execute("ALTER TABLE workers DROP COLUMN pool")
    op.execute("ALTER TABLE attempts DROP COLUMN pool")
