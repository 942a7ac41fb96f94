"""The height of a job's video; NULL: the portrait's size, limited.

Written in the database's own words and never changed: it must not follow the row classes, which move on.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE jobs ADD COLUMN output_height_px integer, ADD CONSTRAINT jobs_output_height_px_check"
        " CHECK (output_height_px BETWEEN 128 AND 1080 AND output_height_px % 2 = 0)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN output_height_px")
