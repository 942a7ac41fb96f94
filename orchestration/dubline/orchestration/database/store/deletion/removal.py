"""Deletion of rows together with the marking of their objects, and the objects that rows still refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text

from dubline.orchestration.database.store.attempts import finalize
from dubline.orchestration.database.store.deletion.pending_deletion import (
    mark_checkpoints_for_deletion,
    mark_for_deletion,
)
from dubline.orchestration.domain import object_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

#: A failed job may name an upload of another tenant: only jobs of its owner use an upload.
#: One open job is enough. The order leaves the planner only the index of open jobs: to find any row, it would scan the
#: table, because it expects open jobs of a portrait with many jobs.
_SELECT_IN_USE: Final = text("""
SELECT uploads.id FROM uploads, LATERAL (
    SELECT FROM jobs WHERE portrait_upload_id = uploads.id AND tenant = uploads.tenant AND finalized_at IS NULL
    ORDER BY created_at LIMIT 1
) AS first_job WHERE uploads.id = ANY(:ids)
UNION
SELECT uploads.id FROM uploads, LATERAL (
    SELECT FROM jobs WHERE speech_upload_id = uploads.id AND tenant = uploads.tenant AND finalized_at IS NULL
    ORDER BY created_at LIMIT 1
) AS first_job WHERE uploads.id = ANY(:ids)
""")
_LOCK_UPLOADS: Final = text("SELECT id FROM uploads WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_DELETE_UPLOADS: Final = text("DELETE FROM uploads WHERE id = ANY(:ids)")
#: Includes videos of attempts that did not succeed; one that is uploaded later is an orphan, which the sweep finds.
_SELECT_VIDEO_KEYS: Final = text(f"""
SELECT format('{object_keys.RESULT}', job_id, number, token) FROM attempts
WHERE job_id = ANY(:ids) AND outcome IS DISTINCT FROM 'succeeded'
UNION SELECT result_key FROM jobs WHERE id = ANY(:ids) AND result_key IS NOT NULL AND result_deleted_at IS NULL
""")  # noqa: S608 - our own text
_SELECT_OPEN_JOBS: Final = text("SELECT id FROM jobs WHERE id = ANY(:ids) AND finalized_at IS NULL")
_DELETE_ATTEMPTS: Final = text("DELETE FROM attempts WHERE job_id = ANY(:ids)")
_DELETE_JOBS: Final = text("DELETE FROM jobs WHERE id = ANY(:ids)")
#: An upload that another job uses is kept, unless the inputs of the batch of that job have been deleted. Uploads are
#: made distinct before the others are looked for: with stale statistics the search ran once for each job of the batch.
_SELECT_UNSHARED_UPLOADS: Final = text("""
WITH used AS MATERIALIZED (
    SELECT portrait_upload_id AS id FROM jobs WHERE batch_id = :batch_id AND tenant = :tenant
    UNION SELECT speech_upload_id FROM jobs WHERE batch_id = :batch_id AND tenant = :tenant
)
SELECT uploads.id FROM used JOIN uploads USING (id)
WHERE uploads.tenant = :tenant AND NOT EXISTS (
    SELECT FROM jobs AS others LEFT JOIN batches ON batches.id = others.batch_id
    WHERE others.portrait_upload_id = uploads.id AND others.tenant = uploads.tenant
    AND others.batch_id IS DISTINCT FROM :batch_id
    AND batches.inputs_deleted_at IS NULL
) AND NOT EXISTS (
    SELECT FROM jobs AS others LEFT JOIN batches ON batches.id = others.batch_id
    WHERE others.speech_upload_id = uploads.id AND others.tenant = uploads.tenant
    AND others.batch_id IS DISTINCT FROM :batch_id
    AND batches.inputs_deleted_at IS NULL
)
""")
#: A key contains the ids of its rows, so each lookup uses an existing index.
_SELECT_REFERENCED: Final = text("""
WITH given AS (
    SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:jobs AS uuid[]), CAST(:tokens AS uuid[]))
        AS given (key, job_id, token)
)
SELECT key FROM given JOIN jobs ON jobs.id = given.job_id AND jobs.result_key = key
WHERE jobs.result_deleted_at IS NULL
UNION SELECT key FROM given JOIN attempts USING (job_id, token) WHERE ended_at IS NULL
UNION SELECT key FROM given JOIN checkpoints ON object_key = key
UNION SELECT key FROM given JOIN doomed_objects ON object_key = key
""")
_SELECT_UPLOADS: Final = text("SELECT id, tenant FROM uploads WHERE id = ANY(:ids)")


def unused(session: Session, ids: Collection[UUID]) -> set[UUID]:
    """Return those uploads that no open job uses; the caller has locked them."""
    return set(ids) - set(session.scalars(_SELECT_IN_USE, {"ids": list(ids)}))


def in_use(session: Session, upload_id: UUID) -> bool:
    """Return whether a job that is not final uses an upload."""
    return not unused(session, [upload_id])


def delete_uploads(session: Session, rows: Sequence[tuple[UUID, str]], audit_id: UUID) -> int:
    """Delete uploads, given as id and tenant.

    Returns:
        Number of objects that were marked for deletion.
    """
    session.execute(_DELETE_UPLOADS, {"ids": [upload_id for upload_id, _ in rows]})
    return mark_for_deletion(
        session, (object_keys.upload_key(tenant, upload_id) for upload_id, tenant in rows), audit_id
    )


def unshared_uploads(session: Session, tenant: str, batch_id: UUID) -> list[tuple[UUID, str]]:
    """Find and lock the uploads that only the jobs of one batch use; return ids and tenant."""
    values = {"tenant": tenant, "batch_id": batch_id}
    found = list(session.scalars(_SELECT_UNSHARED_UPLOADS, values))
    # A job may have been accepted while this transaction waited for the locks; the second query sees it.
    session.execute(_LOCK_UPLOADS, {"ids": found})
    still = set(session.scalars(_SELECT_UNSHARED_UPLOADS, values))
    return [(upload_id, tenant) for upload_id in found if upload_id in still]


def delete_jobs(session: Session, ids: Sequence[UUID], audit_id: UUID) -> int:
    """Delete jobs that the caller has locked, with their attempts, checkpoints and videos; open ones are cancelled.

    Returns:
        Number of objects that were marked for deletion.
    """
    values = {"ids": list(ids)}
    # Before the cancellation, which would mark them without an audit entry.
    count = mark_checkpoints_for_deletion(session, ids, audit_id)
    finalize.cancel(session, session.scalars(_SELECT_OPEN_JOBS, values).all())
    count += mark_for_deletion(session, session.scalars(_SELECT_VIDEO_KEYS, values), audit_id)
    session.execute(_DELETE_ATTEMPTS, values)
    session.execute(_DELETE_JOBS, values)
    return count


def referenced(session: Session, keys: Collection[str]) -> frozenset[str]:
    """Return those objects that a row refers to, that an open attempt may write, or that are pending deletion."""
    given = list(keys)
    found = [object_keys.attempt_of(key) for key in given]
    values = {
        "keys": given,
        "jobs": [ids and ids[0] for ids in found],
        "tokens": [ids and ids[1] for ids in found],
    }
    upload_ids = {upload_id for key in given if (upload_id := object_keys.upload_of(key))}
    kept = {
        object_keys.upload_key(tenant, upload_id)
        for upload_id, tenant in session.execute(_SELECT_UPLOADS, {"ids": _uuids(upload_ids)})
    }
    return frozenset(session.scalars(_SELECT_REFERENCED, values)) | kept.intersection(given)


def _uuids(texts: Collection[str]) -> list[UUID]:
    return [UUID(one) for one in texts]
