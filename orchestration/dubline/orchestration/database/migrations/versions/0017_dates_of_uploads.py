"""Indexes of the life of uploads, and the dates of uploads and batches that exist already.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from dubline.orchestration.database.migrations import without_blocking

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

VALIDATE = "ALTER TABLE uploads VALIDATE CONSTRAINT uploads_unused_s_check"

INDEXES = {
    "uploads_review": "ON uploads (review_at, id) WHERE review_at IS NOT NULL",
    "jobs_portrait_upload": "ON jobs (portrait_upload_id, batch_id)",
    "jobs_speech_upload": "ON jobs (speech_upload_id, batch_id)",
    "batches_inputs_expire": (
        "ON batches (inputs_expire_at, id) WHERE inputs_expire_at IS NOT NULL AND inputs_deleted_at IS NULL"
    ),
}
# Covered by the first column of other indexes; `uploads_expire` is read by the previous version only.
COVERED = {
    "jobs_portrait_upload_id_idx": "jobs (portrait_upload_id)",
    "jobs_speech_upload_id_idx": "jobs (speech_upload_id)",
    "uploads_expire": "uploads (expire_at) WHERE expire_at IS NOT NULL",
}

# Each is repeated until it changes no row, so that no transaction is long. A batch without open jobs does not change
# any more; one that was accepted by the first versions has no count of them.
PAGES = (
    text("""
    UPDATE uploads SET review_at = expire_at WHERE id IN (
        SELECT id FROM uploads WHERE expire_at < coalesce(review_at, 'infinity') LIMIT 10000
    )
    """),
    text("""
    UPDATE batches SET open_count = 0 WHERE id IN (
        SELECT id FROM batches WHERE open_count IS NULL
        AND NOT EXISTS (SELECT FROM jobs WHERE batch_id = batches.id AND finalized_at IS NULL) LIMIT 100
    )
    """),
    text("""
    UPDATE batches SET inputs_expire_at = make_interval(secs => inputs_s)
        + coalesce((SELECT max(finalized_at) FROM jobs WHERE batch_id = batches.id), created_at)
    WHERE id IN (
        SELECT id FROM batches WHERE inputs_s IS NOT NULL AND inputs_expire_at IS NULL AND open_count = 0 LIMIT 100
    )
    """),
)


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute(VALIDATE)
        for page in PAGES:
            while op.get_bind().execute(page).rowcount:
                pass
        # Rows are read and written meanwhile. An index of an interrupted run is not valid and is created again.
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} {definition}")
        for name in COVERED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    for name, on in COVERED.items():
        op.execute(f"CREATE INDEX {name} ON {on}")
    op.execute(
        "CREATE INDEX batches_inputs_expire ON batches (created_at)"
        " WHERE inputs_s IS NOT NULL AND inputs_deleted_at IS NULL"
    )
