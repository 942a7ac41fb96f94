"""Deletion of videos, uploads and inputs of batches at the end of their retention period, in sets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text

from dubline.orchestration.database.store.deletion import removal, upload_life
from dubline.orchestration.database.store.deletion.expired import Subject, mark_expired
from dubline.orchestration.database.store.pending_deletion import mark_checkpoints_for_deletion
from dubline.orchestration.domain.audit import AuditSubject
from dubline.orchestration.domain.object_keys import upload_key

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Before the first upload.
FIRST: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))

_EXPIRE_RESULTS: Final = text("""
WITH old AS (
    SELECT id FROM jobs WHERE results_expire_at < now() AND result_deleted_at IS NULL
    ORDER BY results_expire_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET result_deleted_at = now() FROM old WHERE jobs.id = old.id
RETURNING jobs.id, jobs.tenant, jobs.result_key
""")
#: So many batches that they have about as many jobs as a page has rows.
_LOCK_ENDED_BATCHES: Final = text("""
WITH ended AS (
    SELECT id, row_count FROM batches WHERE inputs_expire_at < now() AND inputs_deleted_at IS NULL
    ORDER BY inputs_expire_at, id LIMIT :limit
), counted AS (
    SELECT id, sum(row_count) OVER (ORDER BY id) - row_count AS before FROM ended
)
SELECT id, tenant FROM batches
WHERE id IN (SELECT id FROM counted WHERE before < :limit) AND inputs_deleted_at IS NULL
ORDER BY id FOR UPDATE SKIP LOCKED
""")
_SELECT_INPUTS: Final = text("""
SELECT portrait_upload_id AS id, batch_id FROM jobs WHERE batch_id = ANY(:ids)
UNION SELECT speech_upload_id, batch_id FROM jobs WHERE batch_id = ANY(:ids)
""")
_LOCK_INPUTS: Final = text("SELECT id FROM uploads WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_SELECT_FINAL_JOBS_WITH_CHECKPOINTS: Final = text("""
SELECT DISTINCT job_id FROM checkpoints JOIN jobs ON jobs.id = job_id WHERE finalized_at IS NOT NULL
""")
_SET_INPUTS_DELETED: Final = text("UPDATE batches SET inputs_deleted_at = now() WHERE id = ANY(:ids)")


def checkpoints(session: Session) -> None:
    """Delete checkpoints of final jobs: a write on a broken connection may be executed after the job has ended."""
    stray = session.scalars(_SELECT_FINAL_JOBS_WITH_CHECKPOINTS).all()
    mark_checkpoints_for_deletion(session, stray)


def results(session: Session, limit: int) -> int:
    """Mark videos for deletion and keep their jobs; return the number of videos."""
    old = session.execute(_EXPIRE_RESULTS, {"limit": limit}).all()
    mark_expired(session, AuditSubject.JOB, [Subject(row.id, row.tenant, [row.result_key]) for row in old])
    return len(old)


def uploads(session: Session, after: tuple[datetime, UUID], limit: int) -> tuple[int, tuple[datetime, UUID] | None]:
    """Review a page of the uploads that are due for it, and delete those whose life has ended.

    Args:
        session: the transaction.
        after: `FIRST`, or the second result of the previous page.
        limit: maximum number of uploads on the page.

    Returns:
        Number of deleted uploads, and the end of the page; None: it is the last one.
    """
    page = upload_life.lock_for_review(session, after, limit)
    ended = upload_life.review(session, [row.id for row in page])
    removal.delete_uploads(session, [upload_id for upload_id, _ in ended])
    subjects = [Subject(upload_id, tenant, [upload_key(tenant, upload_id)]) for upload_id, tenant in ended]
    mark_expired(session, AuditSubject.UPLOAD, subjects)
    return len(ended), (page[-1].review_at, page[-1].id) if len(page) == limit else None


def inputs_of_batches(session: Session, limit: int) -> int | None:
    """Review the uploads of batches whose date has passed, and delete those whose life has ended.

    The uploads of all these batches are locked in order of id, as in every transaction that locks several.

    Args:
        session: the transaction.
        limit: maximum number of batches; also the number of their jobs, which the last batch may exceed.

    Returns:
        Number of deleted uploads; None if there is no such batch.
    """
    batches = {row.id: row.tenant for row in session.execute(_LOCK_ENDED_BATCHES, {"limit": limit})}
    if not batches:
        return None
    named = {row.id: row.batch_id for row in session.execute(_SELECT_INPUTS, {"ids": list(batches)})}
    found = session.scalars(_LOCK_INPUTS, {"ids": list(named)}).all()
    ended = upload_life.review(session, found)
    removal.delete_uploads(session, [upload_id for upload_id, _ in ended])
    keys: dict[UUID, list[str]] = {batch_id: [] for batch_id in batches}
    for upload_id, tenant in ended:
        keys[named[upload_id]].append(upload_key(tenant, upload_id))
    mark_expired(session, AuditSubject.BATCH, [Subject(one, batches[one], of_one) for one, of_one in keys.items()])
    session.execute(_SET_INPUTS_DELETED, {"ids": list(batches)})
    return len(ended)
