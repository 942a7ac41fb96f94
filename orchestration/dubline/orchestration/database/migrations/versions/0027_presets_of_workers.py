"""Presets of workers, and indexes from which a worker claims jobs of its presets only.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

INDEXES = {
    "jobs_queued_by_preset": "jobs (preset, order_key, created_at, id) WHERE state = 'queued'",
    "jobs_queued_by_tenant_and_preset": "jobs (tenant, preset, order_key) WHERE state = 'queued'",
    "jobs_retrying_by_preset": "jobs (preset, available_at, created_at, id) WHERE state = 'retrying'",
    "jobs_retrying_by_tenant_and_preset": "jobs (tenant, preset, available_at) WHERE state = 'retrying'",
}


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute("ALTER TABLE workers ADD COLUMN IF NOT EXISTS presets text[]")
        # Rows are read and written meanwhile. An index of an interrupted run is not valid and is created again.
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE workers DROP COLUMN presets")
