"""Indexes of lists and of idempotency keys, and the checks of the previous migrations on existing rows.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

VALIDATE = """
ALTER TABLE events VALIDATE CONSTRAINT events_kind_check;
ALTER TABLE jobs
    VALIDATE CONSTRAINT jobs_result_sha256_check,
    VALIDATE CONSTRAINT jobs_idempotency_key_check,
    VALIDATE CONSTRAINT jobs_request_check;
ALTER TABLE uploads
    VALIDATE CONSTRAINT uploads_idempotency_key_check,
    VALIDATE CONSTRAINT uploads_request_check;
"""

INDEXES = {
    "jobs_idempotency_key": "UNIQUE ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "jobs_listed": "ON jobs (tenant, state, created_at, id)",
    "jobs_custom_id": "ON jobs (tenant, custom_id) WHERE custom_id IS NOT NULL",
    "uploads_idempotency_key": "UNIQUE ON uploads (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "uploads_listed": "ON uploads (tenant, state, created_at, id)",
    "uploads_sha256": "ON uploads (tenant, sha256) WHERE sha256 IS NOT NULL",
    "batches_listed": "ON batches (tenant, created_at, id)",
}
# Covered by the first column of the indexes of lists.
COVERED = {"jobs_tenant_idx": "jobs", "uploads_tenant_idx": "uploads"}


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute(VALIDATE)
        # Rows are read and written meanwhile. An index of an interrupted run is not valid and is created again.
        for name, definition in INDEXES.items():
            unique, _, on = definition.rpartition("ON ")
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE {unique}INDEX CONCURRENTLY {name} ON {on}")
        for name in COVERED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def downgrade() -> None:
    for name, table in COVERED.items():
        op.execute(f"CREATE INDEX {name} ON {table} (tenant)")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
