"""Workers that are about to leave, and the event of a decision about a pool.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# The check of existing rows is in the next migration: here it would scan them under an exclusive lock.
KINDS = """
ALTER TABLE events DROP CONSTRAINT events_kind_check, ADD CONSTRAINT events_kind_check
    CHECK (kind IN ('batch.finished', 'job.finished', 'pool.decided', 'worker.quarantined')) NOT VALID
"""


def upgrade() -> None:
    op.execute("ALTER TABLE workers ADD COLUMN leaving_until timestamptz")
    op.execute(KINDS)


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE kind = 'pool.decided'")
    op.execute(
        "ALTER TABLE events DROP CONSTRAINT events_kind_check, ADD CONSTRAINT events_kind_check"
        " CHECK (kind IN ('batch.finished', 'job.finished', 'worker.quarantined'))"
    )
    op.execute("ALTER TABLE workers DROP COLUMN leaving_until")
