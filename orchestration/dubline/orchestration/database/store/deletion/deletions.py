"""Deletions: rows are deleted at once, their objects later by the cleaner; each deletion has an audit entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from sqlalchemy import text

from dubline.orchestration.database.store.accounts import audit
from dubline.orchestration.database.store.deletion import removal, retention
from dubline.orchestration.database.store.deletion.pending_deletion import mark_for_deletion
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.audit import SWEEP_ACTOR, AuditAction, AuditEntry, AuditSubject
from dubline.orchestration.domain.errors import NotFoundError, UploadInUseError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Engine

_LOCK_UPLOAD: Final = text("SELECT id FROM uploads WHERE id = :id AND tenant = :tenant FOR UPDATE")
_LOCK_BATCH: Final = text("SELECT id FROM batches WHERE id = :id AND tenant = :tenant FOR UPDATE")
_LOCK_JOBS_OF_BATCH: Final = text("""
SELECT id FROM jobs WHERE batch_id = :id AND tenant = :tenant ORDER BY id FOR UPDATE
""")
_LOCK_JOB: Final = text("SELECT batch_id FROM jobs WHERE id = :id AND tenant = :tenant FOR UPDATE")
#: A batch reaches its inputs through its jobs, so the inputs of a deleted job get their own expiry date.
_SET_INPUTS_EXPIRY: Final = text("""
UPDATE uploads SET expire_at = LEAST(uploads.expire_at, now() + make_interval(secs => batches.inputs_s))
FROM jobs JOIN batches ON batches.id = jobs.batch_id
WHERE jobs.id = :id AND batches.inputs_s IS NOT NULL
AND uploads.tenant = jobs.tenant AND uploads.id IN (jobs.portrait_upload_id, jobs.speech_upload_id)
""")
_DECREMENT_ROW_COUNT: Final = text("UPDATE batches SET row_count = row_count - 1 WHERE id = :id")
_DELETE_BATCH: Final = text("DELETE FROM batches WHERE id = :id")
_SELECT_PENDING: Final = text("SELECT object_key FROM doomed_objects ORDER BY doomed_at LIMIT :limit")
_POSTPONE: Final = text("UPDATE doomed_objects SET doomed_at = now() WHERE object_key = ANY(:keys)")


class Deletions:
    """Deletions by tenants, at the end of retention periods, and of orphans."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def upload(self, tenant: str, upload_id: UUID, actor: str) -> UUID:
        """Delete an upload.

        Args:
            tenant: owner of the upload.
            upload_id: the upload.
            actor: API key that requests the deletion, for the audit entry.

        Returns:
            Id of the audit entry.

        Raises:
            NotFoundError: the tenant has no such upload.
            UploadInUseError: a job that is not final uses it.
        """
        audit_id = uuid4()
        with transaction(self._engine) as session:
            if session.scalar(_LOCK_UPLOAD, {"id": upload_id, "tenant": tenant}) is None:
                raise NotFoundError(f"There is no upload {upload_id}.")
            if removal.in_use(session, upload_id):
                raise UploadInUseError
            entry = audit.begin(session, audit_id, tenant, actor, AuditSubject.UPLOAD, upload_id)
            entry.close(removal.delete_uploads(session, [(upload_id, tenant)], audit_id))
        return audit_id

    def job(self, tenant: str, job_id: UUID, actor: str) -> UUID:
        """Delete a job in any state, with its attempts, checkpoints and video.

        The next write of a worker that processes the job is refused. Arguments and result as for `upload`.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        audit_id = uuid4()
        with transaction(self._engine) as session:
            found = session.execute(_LOCK_JOB, {"id": job_id, "tenant": tenant}).one_or_none()
            if found is None:
                raise NotFoundError(f"There is no job {job_id}.")
            if found.batch_id is not None:
                # Before the uploads: the deletion of expired inputs locks a batch and then its uploads.
                session.execute(_LOCK_BATCH, {"id": found.batch_id, "tenant": tenant})
            session.execute(_SET_INPUTS_EXPIRY, {"id": job_id})
            entry = audit.begin(session, audit_id, tenant, actor, AuditSubject.JOB, job_id)
            entry.close(removal.delete_jobs(session, [job_id], audit_id))
            if found.batch_id is not None:
                session.execute(_DECREMENT_ROW_COUNT, {"id": found.batch_id})
        return audit_id

    def batch(self, tenant: str, batch_id: UUID, actor: str, *, inputs: bool = False) -> UUID:
        """Delete a batch with all its jobs, as `job` does.

        Args:
            tenant: owner of the batch.
            batch_id: the batch.
            actor: API key that requests the deletion.
            inputs: delete its uploads too, except those that jobs outside the batch use.

        Returns:
            Id of the audit entry.

        Raises:
            NotFoundError: the tenant has no such batch.
        """
        audit_id = uuid4()
        with transaction(self._engine) as session:
            # Jobs are locked before their batch, as in every transaction that makes jobs final.
            jobs = session.scalars(_LOCK_JOBS_OF_BATCH, {"id": batch_id, "tenant": tenant}).all()
            if session.scalar(_LOCK_BATCH, {"id": batch_id, "tenant": tenant}) is None:
                raise NotFoundError(f"There is no batch {batch_id}.")
            entry = audit.begin(session, audit_id, tenant, actor, AuditSubject.BATCH, batch_id)
            unshared = removal.unshared_uploads(session, tenant, batch_id) if inputs else []
            count = removal.delete_jobs(session, jobs, audit_id) + removal.delete_uploads(session, unshared, audit_id)
            session.execute(_DELETE_BATCH, {"id": batch_id})
            entry.close(count)
        return audit_id

    def expire(self, limit: int = 1000) -> int:
        """Delete videos, uploads and inputs of batches whose retention period has ended.

        A job whose video is deleted remains succeeded. An upload is not deleted while an open job uses it.

        Args:
            limit: maximum number of videos, of uploads and of batches in one call.

        Returns:
            Number of deleted videos and uploads.
        """
        with transaction(self._engine) as session:
            retention.checkpoints(session)
            expired = retention.results(session, limit) + retention.uploads(session, limit)
        for _ in range(limit):
            with transaction(self._engine) as session:
                count = retention.inputs(session)
            if count is None:
                break
            expired += count
        return expired

    def pending(self, limit: int) -> tuple[str, ...]:
        """Read the keys of objects pending deletion, those marked first before the others."""
        with transaction(self._engine) as session:
            return tuple(session.scalars(_SELECT_PENDING, {"limit": limit}))

    def removed(self, keys: Collection[str]) -> None:
        """Record that objects were removed from the bucket; an audit entry is complete with its last object."""
        with transaction(self._engine) as session:
            audit.complete(session, keys)

    def postpone(self, keys: Collection[str]) -> None:
        """Move objects whose removal failed behind all others that are pending deletion."""
        with transaction(self._engine) as session:
            session.execute(_POSTPONE, {"keys": list(keys)})

    def referenced(self, keys: Collection[str]) -> frozenset[str]:
        """Return those objects that a row refers to, that an open attempt may write, or that are pending deletion."""
        with transaction(self._engine) as session:
            return removal.referenced(session, keys)

    def orphaned(self, keys: Collection[str]) -> int:
        """Mark orphans for deletion, with an audit entry.

        Returns:
            Number of marked objects, without those that are referenced by now.
        """
        with transaction(self._engine) as session:
            orphans = frozenset(keys) - removal.referenced(session, keys)
            if orphans:
                audit_id = uuid4()
                entry = audit.begin(session, audit_id, None, SWEEP_ACTOR, AuditSubject.OBJECT, None, AuditAction.ORPHAN)
                entry.close(mark_for_deletion(session, orphans, audit_id))
            return len(orphans)

    def audit(self, tenant: str, subject_id: UUID) -> tuple[AuditEntry, ...]:
        """Read the audit entries about a subject, oldest first."""
        with transaction(self._engine) as session:
            return audit.read(session, tenant, subject_id)

    def audit_page(
        self, tenant: str | None, after: tuple[datetime, UUID] | None = None, limit: int = 1000
    ) -> tuple[AuditEntry, ...]:
        """Read the audit log, oldest entries first.

        A transaction that is open meanwhile may add an entry before the end of a page.

        Args:
            tenant: of the entries; None: of the whole installation.
            after: time and id of the last entry of the previous page.
            limit: maximum number of entries.
        """
        with transaction(self._engine) as session:
            return audit.page(session, tenant, after, limit)
