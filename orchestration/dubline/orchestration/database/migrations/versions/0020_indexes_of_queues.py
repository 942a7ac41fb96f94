"""Indexes of claims, the clock of the queue of jobs, and the refund of past cancellations.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

VALIDATE = "ALTER TABLE jobs VALIDATE CONSTRAINT jobs_cost_check"
# The states of many rows change at once. With old statistics the server reads a queue as a whole.
STATISTICS = """
ALTER TABLE jobs SET (autovacuum_analyze_scale_factor = 0.01, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE uploads SET (autovacuum_analyze_scale_factor = 0.01, autovacuum_vacuum_scale_factor = 0.02);
"""
CLOCK = """
UPDATE queue_clocks SET at_s = greatest(at_s, (SELECT max(order_key) FROM jobs WHERE attempt_count > 0))
WHERE queue = 'render'
"""
# The tables are read before the first tenant is locked.
REFUND = """
UPDATE tenants SET virtual_time_s = least(virtual_time_s, used.until_s) FROM (
    SELECT tenant, max(order_key + speech_s) AS until_s FROM jobs WHERE attempt_count > 0 OR finalized_at IS NULL
    GROUP BY tenant
) AS used
WHERE used.tenant = tenants.name
"""
INDEXES = {
    "jobs_queued": "jobs (order_key, created_at, id) WHERE state = 'queued'",
    "jobs_queued_by_tenant": "jobs (tenant, order_key) WHERE state = 'queued'",
    "jobs_retrying": "jobs (available_at, created_at, id) WHERE state = 'retrying'",
    "jobs_retrying_by_tenant": "jobs (tenant, available_at) WHERE state = 'retrying'",
    "uploads_unprobed": (
        "uploads (order_key, created_at, id) WHERE state = 'probing' AND lease_token IS NULL AND probe_attempts = 0"
    ),
    "uploads_reprobed": (
        "uploads (probe_after, created_at, id) WHERE state = 'probing' AND lease_token IS NULL AND probe_attempts > 0"
    ),
}


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute(VALIDATE)
        op.execute(STATISTICS)
        op.execute(CLOCK)
        op.execute(REFUND)
        # Rows are read and written meanwhile. An index of an interrupted run is not valid and is created again.
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE jobs RESET (autovacuum_analyze_scale_factor, autovacuum_vacuum_scale_factor)")
    op.execute("ALTER TABLE uploads RESET (autovacuum_analyze_scale_factor, autovacuum_vacuum_scale_factor)")
