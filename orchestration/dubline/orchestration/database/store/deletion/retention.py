"""Deletion of videos, uploads and inputs of batches at the end of their retention period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from sqlalchemy import text

from dubline.orchestration.database.store.accounts import audit
from dubline.orchestration.database.store.deletion import removal
from dubline.orchestration.database.store.deletion.pending_deletion import (
    mark_checkpoints_for_deletion,
    mark_for_deletion,
)
from dubline.orchestration.domain.audit import RETENTION_ACTOR, AuditAction, AuditSubject

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_EXPIRE_RESULTS: Final = text("""
WITH old AS (
    SELECT id FROM jobs WHERE results_expire_at < now() AND result_deleted_at IS NULL
    ORDER BY results_expire_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET result_deleted_at = now() FROM old WHERE jobs.id = old.id
RETURNING jobs.id, jobs.tenant, jobs.result_key
""")
_LOCK_EXPIRED_UPLOADS: Final = text("""
SELECT id, tenant FROM uploads
WHERE expire_at < now() AND NOT EXISTS (
    SELECT FROM jobs WHERE portrait_upload_id = uploads.id AND jobs.tenant = uploads.tenant AND finalized_at IS NULL
) AND NOT EXISTS (
    SELECT FROM jobs WHERE speech_upload_id = uploads.id AND jobs.tenant = uploads.tenant AND finalized_at IS NULL
)
ORDER BY expire_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_LOCK_EXPIRED_BATCH: Final = text("""
SELECT id, tenant FROM batches
WHERE inputs_s IS NOT NULL AND inputs_deleted_at IS NULL
AND created_at < now() - make_interval(secs => inputs_s)
AND NOT EXISTS (
    SELECT FROM jobs WHERE batch_id = batches.id
    AND (finalized_at IS NULL OR finalized_at >= now() - make_interval(secs => batches.inputs_s))
)
ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")
_SELECT_FINAL_JOBS_WITH_CHECKPOINTS: Final = text("""
SELECT DISTINCT job_id FROM checkpoints JOIN jobs ON jobs.id = job_id WHERE finalized_at IS NOT NULL
""")
_SET_INPUTS_DELETED: Final = text("UPDATE batches SET inputs_deleted_at = now() WHERE id = :id")


def checkpoints(session: Session) -> None:
    """Delete checkpoints of final jobs: a write on a broken connection may be executed after the job has ended."""
    stray = session.scalars(_SELECT_FINAL_JOBS_WITH_CHECKPOINTS).all()
    mark_checkpoints_for_deletion(session, stray)


def results(session: Session, limit: int) -> int:
    """Mark videos for deletion and keep their jobs; return the number of videos."""
    old = session.execute(_EXPIRE_RESULTS, {"limit": limit}).all()
    for job_id, tenant, key in old:
        entry = _begin(session, tenant, AuditSubject.JOB, job_id)
        entry.close(mark_for_deletion(session, [key], entry.id))
    return len(old)


def uploads(session: Session, limit: int) -> int:
    """Delete uploads that no open job uses; return their number."""
    old = session.execute(_LOCK_EXPIRED_UPLOADS, {"limit": limit}).all()
    # A job may have been accepted between the query and the lock.
    unused = removal.unused(session, [upload_id for upload_id, _ in old])
    for upload_id, tenant in old:
        if upload_id in unused:
            entry = _begin(session, tenant, AuditSubject.UPLOAD, upload_id)
            entry.close(removal.delete_uploads(session, [(upload_id, tenant)], entry.id))
    return len(unused)


def inputs(session: Session) -> int | None:
    """Delete the uploads of the oldest batch whose last job ended long enough ago.

    One batch per transaction, so that all uploads that it locks are locked in order of id.

    Returns:
        Number of uploads; None if there is no such batch.
    """
    batch = session.execute(_LOCK_EXPIRED_BATCH).one_or_none()
    if batch is None:
        return None
    unshared = removal.unshared_uploads(session, batch.tenant, batch.id)
    entry = _begin(session, batch.tenant, AuditSubject.BATCH, batch.id)
    entry.close(removal.delete_uploads(session, unshared, entry.id))
    session.execute(_SET_INPUTS_DELETED, {"id": batch.id})
    return len(unshared)


def _begin(session: Session, tenant: str, kind: AuditSubject, subject_id: UUID) -> audit.Entry:
    return audit.begin(session, uuid4(), tenant, RETENTION_ACTOR, kind, subject_id, AuditAction.EXPIRE)
