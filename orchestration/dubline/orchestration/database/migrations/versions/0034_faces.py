"""The faces of a portrait, and the one that a job chooses.

Written in SQL and never changed: it must not depend on the row classes, which change later. Both columns are NULL in
the rows of the previous version: it knew one face, and rendered it. Every statement can be repeated.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

CHECKS = {
    "uploads": ("faces", "jsonb_typeof(faces) = 'array' AND jsonb_array_length(faces) BETWEEN 1 AND 16"),
    "jobs": ("face_index", "face_index BETWEEN 0 AND 15"),
}


def upgrade() -> None:
    op.execute("ALTER TABLE uploads ADD COLUMN IF NOT EXISTS faces jsonb")
    op.execute("ALTER TABLE jobs ADD COLUMN IF NOT EXISTS face_index integer")
    for table, (column, check) in CHECKS.items():
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_{column}_check,"
            f" ADD CONSTRAINT {table}_{column}_check CHECK ({check}) NOT VALID"
        )
    with without_blocking(op.get_context()):
        for table, (column, _) in CHECKS.items():
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_{column}_check")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN face_index")
    op.execute("ALTER TABLE uploads DROP COLUMN faces")
