"""Deletion of rows together with the marking of their objects, and the objects that rows still refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text

from dubline.orchestration.database.store.attempts import finalize
from dubline.orchestration.database.store.fairness import order_keys
from dubline.orchestration.database.store.pending_deletion import (
    mark_checkpoints_for_deletion,
    mark_for_deletion,
)
from dubline.orchestration.domain import object_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

#: A failed job may name an upload of another tenant: only jobs of its owner use an upload.
#: One job is enough. The order leaves the planner only the index of the upload: to find any row, also by EXISTS, it
#: would scan the table, because it expects to meet a job soon where few portraits are in many jobs. With BETWEEN, the
#: order is not constant, and the planner keeps it.
_SELECT_IN_USE: Final = text("""
SELECT uploads.id FROM uploads, LATERAL (
    SELECT FROM jobs WHERE portrait_upload_id BETWEEN uploads.id AND uploads.id AND tenant = uploads.tenant
    AND finalized_at IS NULL ORDER BY portrait_upload_id, created_at LIMIT 1
) AS first_job WHERE uploads.id = ANY(:ids)
UNION
SELECT uploads.id FROM uploads, LATERAL (
    SELECT FROM jobs WHERE speech_upload_id BETWEEN uploads.id AND uploads.id AND tenant = uploads.tenant
    AND finalized_at IS NULL ORDER BY speech_upload_id, created_at LIMIT 1
) AS first_job WHERE uploads.id = ANY(:ids)
""")
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
_SELECT_NAMED: Final = text("""
SELECT id FROM unnest(CAST(:ids AS uuid[])) AS given (id)
WHERE (
    SELECT true FROM jobs AS others WHERE portrait_upload_id BETWEEN given.id AND given.id AND tenant = :tenant
    ORDER BY portrait_upload_id LIMIT 1
) OR (
    SELECT true FROM jobs AS others WHERE speech_upload_id BETWEEN given.id AND given.id AND tenant = :tenant
    ORDER BY speech_upload_id LIMIT 1
)
""")
_SELECT_INPUTS: Final = text("""
SELECT portrait_upload_id FROM jobs WHERE id = ANY(:ids) UNION SELECT speech_upload_id FROM jobs WHERE id = ANY(:ids)
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
_SELECT_JOBS: Final = text("SELECT id FROM jobs WHERE id = ANY(:ids)")
_SELECT_UPLOADS: Final = text("SELECT id, tenant FROM uploads WHERE id = ANY(:ids)")


def unused(session: Session, ids: Collection[UUID]) -> set[UUID]:
    """Return those uploads that no open job uses; the caller has locked them."""
    return set(ids) - set(session.scalars(_SELECT_IN_USE, {"ids": list(ids)}))


def in_use(session: Session, upload_id: UUID) -> bool:
    """Return whether a job that is not final uses an upload."""
    return not unused(session, [upload_id])


def inputs_of(session: Session, job_ids: Sequence[UUID]) -> set[UUID]:
    """Return the ids of the uploads that jobs name."""
    return set(session.scalars(_SELECT_INPUTS, {"ids": list(job_ids)}))


def unnamed(session: Session, tenant: str, ids: Collection[UUID]) -> set[UUID]:
    """Return those uploads of a tenant that no job names; the caller has locked them."""
    return set(ids) - set(session.scalars(_SELECT_NAMED, {"tenant": tenant, "ids": list(ids)}))


def delete_uploads(session: Session, ids: Collection[UUID]) -> None:
    """Delete the rows of uploads; the caller marks their objects for deletion."""
    order_keys.refund_probes(session, list(ids))
    session.execute(_DELETE_UPLOADS, {"ids": list(ids)})


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


def without_job(session: Session, keys: Collection[str]) -> int:
    """Count those objects of attempts whose job has no row."""
    jobs = [ids[0] for key in keys if (ids := object_keys.attempt_of(key))]
    known = {str(job_id) for job_id in session.scalars(_SELECT_JOBS, {"ids": _uuids(set(jobs))})}
    return sum(job_id not in known for job_id in jobs)


def _uuids(texts: Collection[str]) -> list[UUID]:
    return [UUID(one) for one in texts]
