"""Final transitions of jobs: succeeded, failed and cancelled. No other module makes a job final.

The statement that makes a job final also deletes the rows of its checkpoints, marks their objects for deletion,
decrements the number of open jobs of its batch, and inserts the event `job.finished` and, with the last open job of a
batch, `batch.finished`.

Jobs are locked before batches, batches before uploads, and uploads before tenants, so that two of these transactions
cannot deadlock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.fairness import order_keys
from dubline.orchestration.domain.jobs import Cause, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

#: Assignments that end a lease.
UNLEASED: Final = "stage = NULL, lease_token = NULL, lease_expires_at = NULL, lease_worker = NULL"
#: Columns of each job that `RECORDED` uses.
RETURNED: Final = "jobs.id, jobs.tenant, jobs.batch_id, jobs.state, jobs.error_code"

_EVENTS: Final = """
INSERT INTO events (tenant, kind, subject_id, payload)
SELECT tenant, 'job.finished', id,
    jsonb_strip_nulls(jsonb_build_object('state', state, 'batch_id', batch_id, 'error_code', error_code))
FROM finalized
UNION ALL
SELECT tenant, 'batch.finished', id, jsonb_build_object('job_count', row_count) FROM counted WHERE open_count = 0
"""
#: Common table expressions to append to `finalized`, the jobs that a statement makes final. `open_count` stays NULL in
#: batches that were accepted by a version without events.
RECORDED: Final = f"""
dropped AS (
    DELETE FROM checkpoints USING finalized WHERE checkpoints.job_id = finalized.id RETURNING object_key
), marked AS (
    INSERT INTO doomed_objects (object_key) SELECT object_key FROM dropped ON CONFLICT DO NOTHING
), freed AS (
    DELETE FROM reserved_segments USING finalized WHERE reserved_segments.job_id = finalized.id
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
_RECORD_ADMISSION: Final = text(f"""
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


def record_admission(session: Session, batch_id: UUID) -> None:
    """Set the number of open jobs of a new batch, and insert the events of those that failed at admission."""
    session.execute(_RECORD_ADMISSION, {"batch_id": batch_id})


def cancel(session: Session, ids: Sequence[UUID]) -> None:
    """Cancel jobs that are not final.

    The caller has locked the jobs in an earlier statement: a statement that waits for a lock does not see what was
    committed meanwhile; the next statement does.
    """
    _lock_batches(session, ids)
    order_keys.record_ended(session, ids)
    session.execute(_CANCEL, {"ids": list(ids)})
    end_attempts(session, ids, Outcome.CANCELLED, Cause.CANCELLED)


def fail(session: Session, ids: Sequence[UUID], code: str, detail: str) -> None:
    """Fail jobs that are not final and that the caller has locked, as for `cancel`."""
    _lock_batches(session, ids)
    order_keys.record_ended(session, ids)
    session.execute(_FAIL, {"ids": list(ids), "code": code, "detail": detail})


def end_attempts(  # noqa: PLR0913, PLR0917 - the columns of an ended attempt
    session: Session,
    ids: Sequence[UUID],
    outcome: Outcome,
    cause: Cause,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    """End the open attempts at some jobs."""
    values = {"ids": list(ids), "outcome": outcome.value, "cause": cause.value, "code": code, "detail": detail}
    session.execute(_END_ATTEMPTS, values)


def _lock_batches(session: Session, ids: Sequence[UUID]) -> None:
    session.execute(_LOCK_BATCHES, {"ids": list(ids)})
