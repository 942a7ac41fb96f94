"""Indexes of an upload's open jobs, of every filter of the lists, and of the whole audit log.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEXES = {
    "jobs_open_portrait": "jobs (portrait_upload_id, created_at) WHERE finalized_at IS NULL",
    "jobs_open_speech": "jobs (speech_upload_id, created_at) WHERE finalized_at IS NULL",
    "jobs_named": "jobs (tenant, custom_id, state, created_at, id) WHERE custom_id IS NOT NULL",
    "uploads_listed_by_kind": "uploads (tenant, kind, state, created_at, id)",
    "uploads_hashed": "uploads (tenant, sha256, kind, state, created_at, id) WHERE sha256 IS NOT NULL",
    "batches_listed_by_end": "batches (tenant, (open_count = 0), created_at, id)",
    "audit_at": "audit (at, id)",
}
#: Former indexes that those cover.
COVERED = {
    "jobs_custom_id": "jobs (tenant, custom_id) WHERE custom_id IS NOT NULL",
    "uploads_listed": "uploads (tenant, state, created_at, id)",
    "uploads_sha256": "uploads (tenant, sha256) WHERE sha256 IS NOT NULL",
}


def upgrade() -> None:
    with without_blocking(op.get_context()):
        for name, on in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {on}")
        for name in COVERED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def downgrade() -> None:
    for name, on in COVERED.items():
        op.execute(f"CREATE INDEX {name} ON {on}")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
