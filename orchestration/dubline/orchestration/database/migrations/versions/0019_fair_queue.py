"""Clocks of the queues, the cost of a job, the place of an upload in the queue of probes, and refunds.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Defaults are constant, so no row is rewritten.
COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN cost_s double precision,
    ADD CONSTRAINT jobs_cost_check CHECK (cost_s > 0) NOT VALID;
ALTER TABLE uploads ADD COLUMN order_key double precision NOT NULL DEFAULT 0;
ALTER TABLE tenants
    ADD COLUMN probe_time_s double precision NOT NULL DEFAULT 0,
    ADD COLUMN refund_from_s double precision;
"""

CLOCKS = """
CREATE TABLE queue_clocks (
    queue text NOT NULL CONSTRAINT queue_clocks_pkey PRIMARY KEY,
    at_s double precision NOT NULL
);
INSERT INTO queue_clocks (queue, at_s) VALUES ('render', 0), ('probe', 0);
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(CLOCKS)


def downgrade() -> None:
    op.execute("DROP TABLE queue_clocks")
    op.execute("ALTER TABLE tenants DROP COLUMN probe_time_s, DROP COLUMN refund_from_s")
    op.execute("ALTER TABLE uploads DROP COLUMN order_key")
    op.execute("ALTER TABLE jobs DROP COLUMN cost_s")
