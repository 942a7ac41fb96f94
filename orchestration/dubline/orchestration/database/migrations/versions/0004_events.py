"""Events of jobs and batches, and the count of a batch's open jobs.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# NULL in batches that are accepted by the previous version, which does not count open jobs.
BATCHES = """
ALTER TABLE batches
    ADD COLUMN open_count integer,
    ADD CONSTRAINT batches_open_count_check CHECK (open_count >= 0);
UPDATE batches SET open_count = (SELECT count(*) FROM jobs WHERE batch_id = batches.id AND finalized_at IS NULL);
"""

EVENTS = """
CREATE TABLE events (
    id bigserial CONSTRAINT events_pkey PRIMARY KEY,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tenant text NOT NULL REFERENCES tenants (name),
    kind text NOT NULL CONSTRAINT events_kind_check CHECK (kind IN ('batch.finished', 'job.finished')),
    subject_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    payload jsonb NOT NULL CONSTRAINT events_payload_check CHECK (pg_column_size(payload) <= 1024)
);
CREATE INDEX events_order ON events (transaction_id, id);
CREATE INDEX events_created ON events (created_at);
"""


def upgrade() -> None:
    op.execute(BATCHES)
    op.execute(EVENTS)


def downgrade() -> None:
    op.execute("DROP TABLE events")
    op.execute("ALTER TABLE batches DROP COLUMN open_count")
