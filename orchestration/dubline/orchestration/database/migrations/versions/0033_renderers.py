"""The version of the renderer in the render fingerprint.

Written in SQL and never changed: it must not depend on the row classes, which change later. The column is NULL in the
jobs of the previous version, whose checkpoints are not used any more.
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN renderer_sha256 text")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN renderer_sha256")
