"""Deletions: rows are deleted at once, their objects later by the cleaner; each deletion has an audit entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from sqlalchemy import text

from dubline.orchestration.database.store.accounts import audit
from dubline.orchestration.database.store.deletion import removal, retention, upload_life
from dubline.orchestration.database.store.pending_deletion import mark_for_deletion
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.audit import SWEEP_ACTOR, AuditAction, AuditEntry, AuditSubject
from dubline.orchestration.domain.errors import NotFoundError, UploadInUseError
from dubline.orchestration.domain.object_keys import upload_key

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.listing import Place

_LOCK_UPLOAD: Final = text("SELECT id FROM uploads WHERE id = :id AND tenant = :tenant FOR UPDATE")
_LOCK_BATCH: Final = text("SELECT id FROM batches WHERE id = :id AND tenant = :tenant FOR UPDATE")
_LOCK_JOBS_OF_BATCH: Final = text("""
SELECT id FROM jobs WHERE batch_id = :id AND tenant = :tenant ORDER BY id FOR UPDATE
""")
_LOCK_JOB: Final = text("SELECT batch_id FROM jobs WHERE id = :id AND tenant = :tenant FOR UPDATE")
_DECREMENT_ROW_COUNT: Final = text("UPDATE batches SET row_count = row_count - 1 WHERE id = :id")
_DELETE_BATCH: Final = text("DELETE FROM batches WHERE id = :id")
_SELECT_PENDING: Final = text("SELECT object_key FROM doomed_objects ORDER BY doomed_at LIMIT :limit")
_PENDING_AMONG: Final = text("SELECT object_key FROM doomed_objects WHERE object_key = ANY(:keys)")
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
            entry.close(_delete_uploads(session, tenant, [upload_id], audit_id))
        return audit_id

    def job(self, tenant: str, job_id: UUID, actor: str) -> UUID:
        """Delete a job in any state, with its attempts, checkpoints and video.

        Its uploads are kept as long as `upload_life` says. The next write of a worker that processes the job is
        refused. Arguments and result as for `upload`.

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
            uploads = upload_life.lock(session, tenant, removal.inputs_of(session, [job_id]))
            entry = audit.begin(session, audit_id, tenant, actor, AuditSubject.JOB, job_id)
            entry.close(removal.delete_jobs(session, [job_id], audit_id))
            upload_life.release(session, uploads, found.batch_id)
            if found.batch_id is not None:
                session.execute(_DECREMENT_ROW_COUNT, {"id": found.batch_id})
        return audit_id

    def batch(self, tenant: str, batch_id: UUID, actor: str, *, inputs: bool = False) -> UUID:
        """Delete a batch with all its jobs, as `job` does.

        Args:
            tenant: owner of the batch.
            batch_id: the batch.
            actor: API key that requests the deletion.
            inputs: delete its uploads too, except those that jobs outside the batch name.

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
            uploads = upload_life.lock(session, tenant, removal.inputs_of(session, jobs))
            entry = audit.begin(session, audit_id, tenant, actor, AuditSubject.BATCH, batch_id)
            count = removal.delete_jobs(session, jobs, audit_id)
            if inputs:
                count += _delete_uploads(session, tenant, removal.unnamed(session, tenant, uploads), audit_id)
            upload_life.release(session, uploads, batch_id)
            session.execute(_DELETE_BATCH, {"id": batch_id})
            entry.close(count)
        return audit_id

    def expire(self, limit: int = 1000) -> int:
        """Delete videos, uploads and inputs of batches whose retention period has ended.

        A job whose video is deleted remains succeeded. The life of uploads is defined in `upload_life`.

        Args:
            limit: maximum number of videos, of uploads and of batches in one transaction.

        Returns:
            Number of deleted videos and uploads.
        """
        with transaction(self._engine) as session:
            retention.checkpoints(session)
        return self._expire_results(limit) + self._expire_inputs(limit) + self._expire_uploads(limit)

    def _expire_results(self, limit: int) -> int:
        expired, count = 0, limit
        while count == limit:
            with transaction(self._engine) as session:
                count = retention.results(session, limit)
            expired += count
        return expired

    def _expire_inputs(self, limit: int) -> int:
        expired = 0
        while True:
            with transaction(self._engine) as session:
                count = retention.inputs_of_batches(session, limit)
            if count is None:
                return expired
            expired += count

    def _expire_uploads(self, limit: int) -> int:
        expired = 0
        after: tuple[datetime, UUID] | None = retention.FIRST
        while after is not None:
            with transaction(self._engine) as session:
                count, after = retention.uploads(session, after, limit)
            expired += count
        return expired

    def pending(self, limit: int) -> tuple[str, ...]:
        """Read the keys of objects pending deletion, those marked first before the others."""
        with transaction(self._engine) as session:
            return tuple(session.scalars(_SELECT_PENDING, {"limit": limit}))

    def pending_among(self, keys: Collection[str]) -> frozenset[str]:
        """Return those objects that are pending deletion."""
        with transaction(self._engine) as session:
            return frozenset(session.scalars(_PENDING_AMONG, {"keys": list(keys)}))

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

    def without_job(self, keys: Collection[str]) -> int:
        """Count those objects of attempts whose job has no row."""
        with transaction(self._engine) as session:
            return removal.without_job(session, keys)

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

    def audit_page(self, tenant: str | None, after: Place | None = None, limit: int = 1000) -> tuple[AuditEntry, ...]:
        """Read the audit log, oldest entries first.

        A transaction that is open meanwhile may add an entry before the end of a page.

        Args:
            tenant: of the entries; None: of the whole installation.
            after: the last entry of the previous page.
            limit: maximum number of entries.
        """
        with transaction(self._engine) as session:
            return audit.page(session, tenant, after, limit)


def _delete_uploads(session: Session, tenant: str, ids: Collection[UUID], audit_id: UUID) -> int:
    """Delete uploads of a tenant; return the number of objects that were marked for deletion."""
    removal.delete_uploads(session, ids)
    return mark_for_deletion(session, (upload_key(tenant, upload_id) for upload_id in ids), audit_id)
