"""The check of kinds of events is validated, which blocks neither reads nor writes."""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute("ALTER TABLE events VALIDATE CONSTRAINT events_kind_check")


def downgrade() -> None:
    pass
