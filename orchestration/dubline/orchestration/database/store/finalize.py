"""The one place where jobs become final: succeeded, failed or cancelled.

Whatever makes a job final, the same statement deletes the rows of its checkpoints and marks their objects for deletion,
counts its batch down, and writes `job.finished` and, for the last open job of a batch, `batch.finished`.

Locks are taken in one order, jobs before batches, so that two of these transactions cannot wait for each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.domain.jobs import Cause, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

#: Assignments that end a lease.
UNLEASED: Final = "stage = NULL, lease_token = NULL, lease_expires_at = NULL, lease_worker = NULL"
#: What `RECORDED` needs to know of each job.
RETURNED: Final = "jobs.id, jobs.tenant, jobs.batch_id, jobs.state, jobs.error_code"

_EVENTS: Final = """
INSERT INTO events (tenant, kind, subject_id, payload)
SELECT tenant, 'job.finished', id,
    jsonb_strip_nulls(jsonb_build_object('state', state, 'batch_id', batch_id, 'error_code', error_code))
FROM finalized
UNION ALL
SELECT tenant, 'batch.finished', id, jsonb_build_object('job_count', row_count) FROM counted WHERE open_count = 0
"""
#: Common table expressions that follow `finalized`, the jobs that a statement makes final. `open_count` stays NULL
#: in batches that were accepted by a version without events.
RECORDED: Final = f"""
dropped AS (
    DELETE FROM checkpoints USING finalized WHERE checkpoints.job_id = finalized.id RETURNING object_key
), marked AS (
    INSERT INTO doomed_objects (object_key) SELECT object_key FROM dropped ON CONFLICT DO NOTHING
), counted AS (
    UPDATE batches SET open_count = open_count - ended.jobs
    FROM (SELECT batch_id, count(*) AS jobs FROM finalized GROUP BY batch_id) AS ended
    WHERE batches.id = ended.batch_id RETURNING batches.id, batches.tenant, batches.row_count, batches.open_count
), written AS ({_EVENTS})
"""  # noqa: S608 - our own text

_LOCK_BATCHES: Final = text("""
SELECT id FROM batches WHERE id IN (SELECT batch_id FROM jobs WHERE id = ANY(:ids)) ORDER BY id FOR NO KEY UPDATE
""")
_CANCEL: Final = text(f"""
WITH finalized AS (
    UPDATE jobs SET state = 'cancelled', finalized_at = now(), {UNLEASED} WHERE id = ANY(:ids) RETURNING {RETURNED}
), {RECORDED} SELECT count(*) FROM finalized
""")  # noqa: S608 - our own text
_FAIL: Final = text(f"""
WITH finalized AS (
    UPDATE jobs SET state = 'failed', finalized_at = now(), error_code = :code, error_detail = :detail, {UNLEASED}
    WHERE id = ANY(:ids) RETURNING {RETURNED}
), {RECORDED} SELECT count(*) FROM finalized
""")  # noqa: S608 - our own text
_ADMITTED: Final = text(f"""
WITH finalized AS (
    SELECT {RETURNED} FROM jobs WHERE batch_id = :batch_id AND finalized_at IS NOT NULL
), counted AS (
    UPDATE batches SET open_count = row_count - (SELECT count(*) FROM finalized) WHERE id = :batch_id
    RETURNING id, tenant, row_count, open_count
) {_EVENTS}
""")  # noqa: S608 - our own text
_END_ATTEMPTS: Final = text("""
UPDATE attempts
SET ended_at = now(), outcome = :outcome, cause = :cause, error_code = :code, error_detail = :detail
WHERE job_id = ANY(:ids) AND ended_at IS NULL
""")


def admitted(session: Session, batch_id: UUID) -> None:
    """Count the open jobs of a new batch; the others failed at admission and are recorded as final."""
    session.execute(_ADMITTED, {"batch_id": batch_id})


def cancel(session: Session, ids: Sequence[UUID]) -> None:
    """Cancel jobs that are not final.

    The caller holds the locks of the jobs, taken by an earlier statement: what a worker commits while a statement
    waits for a lock is seen only by the statements after it. So below.
    """
    _lock_batches(session, ids)
    session.execute(_CANCEL, {"ids": list(ids)})
    end_attempts(session, ids, Outcome.CANCELLED, Cause.CANCELLED)


def fail(session: Session, ids: Sequence[UUID], code: str, detail: str) -> None:
    """Fail jobs that are not final."""
    _lock_batches(session, ids)
    session.execute(_FAIL, {"ids": list(ids), "code": code, "detail": detail})


def end_attempts(  # noqa: PLR0913, PLR0917 - the columns of an ended attempt
    session: Session,
    ids: Sequence[UUID],
    outcome: Outcome,
    cause: Cause,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    """End the open attempts at jobs."""
    values = {"ids": list(ids), "outcome": outcome.value, "cause": cause.value, "code": code, "detail": detail}
    session.execute(_END_ATTEMPTS, values)


def _lock_batches(session: Session, ids: Sequence[UUID]) -> None:
    session.execute(_LOCK_BATCHES, {"ids": list(ids)})
