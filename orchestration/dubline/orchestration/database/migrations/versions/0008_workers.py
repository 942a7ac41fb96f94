"""Workers, their quarantine, and its event, which has no tenant.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WORKERS = """
CREATE TABLE workers (
    name text CONSTRAINT workers_pkey PRIMARY KEY,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    failure_count integer NOT NULL DEFAULT 0 CONSTRAINT workers_failures_check CHECK (failure_count >= 0),
    quarantined_until timestamptz
)
"""
# The check of existing rows is in a later migration: here it would scan them under an exclusive lock.
KINDS = """
ALTER TABLE events
    ALTER COLUMN tenant DROP NOT NULL,
    DROP CONSTRAINT events_kind_check,
    ADD CONSTRAINT events_kind_check
        CHECK (kind IN ('batch.finished', 'job.finished', 'worker.quarantined')) NOT VALID
"""


def upgrade() -> None:
    op.execute(WORKERS)
    op.execute(KINDS)


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE kind = 'worker.quarantined'")
    op.execute(
        "ALTER TABLE events DROP CONSTRAINT events_kind_check, ALTER COLUMN tenant SET NOT NULL,"
        " ADD CONSTRAINT events_kind_check CHECK (kind IN ('batch.finished', 'job.finished'))"
    )
    op.execute("DROP TABLE workers")
