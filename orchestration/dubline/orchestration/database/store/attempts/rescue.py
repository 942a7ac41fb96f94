"""Transitions caused by time: leases that expired and deadlines that passed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.attempts.charges import CHARGED, has_alternative, times_charged, worker_of
from dubline.orchestration.database.store.attempts.finalize import UNLEASED, end_attempts, fail
from dubline.orchestration.database.store.outbox import RENDER, notify
from dubline.orchestration.domain.errors import DeadlineExceededError, WorkerLostError
from dubline.orchestration.domain.jobs import Cause, Outcome
from dubline.orchestration.domain.quarantine import is_sick
from dubline.orchestration.domain.retry import Fail, decide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

#: Maximum number of jobs in one transaction; the next run of the periodic task processes the rest.
LIMIT: Final = 1000

_LOCK_EXPIRED: Final = text(f"""
SELECT id FROM jobs WHERE state = 'running' AND lease_expires_at < now()
LIMIT {LIMIT} FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - our own text
_LOCK_OVERDUE: Final = text(f"""
SELECT id FROM jobs WHERE deadline_at < now() AND finalized_at IS NULL
LIMIT {LIMIT} FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - our own text
_COUNT_LOSSES: Final = text(f"""
SELECT lost.id, (
    SELECT {times_charged("lost.worker", "lost.has_alternative")} AS times
    FROM (SELECT * FROM attempts WHERE attempts.job_id = lost.id AND cause = 'worker_lost' AND {CHARGED}) AS attempts
    GROUP BY cause
), workers.failure_count FROM (
    SELECT id, {worker_of("lease_worker")} AS worker,
        {has_alternative("jobs.id", "jobs.preset", worker_of("jobs.lease_worker"))} AS has_alternative
    FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))
) AS lost JOIN workers ON workers.name = lost.worker
""")  # noqa: S608 - our own text
#: A worker that died with a job failed it. The order of the names prevents deadlocks.
_BLAME: Final = text(f"""
INSERT INTO workers (name, failure_count, seen_at)
SELECT {worker_of("lease_worker")} AS name, count(*), '-infinity' FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))
GROUP BY name ORDER BY name
ON CONFLICT (name) DO UPDATE SET failure_count = workers.failure_count + excluded.failure_count
""")  # noqa: S608 - our own text
_RETRY: Final = text(
    "UPDATE jobs SET state = 'retrying', available_at = now(), progress_percent = 0,"  # noqa: S608
    f" {UNLEASED} WHERE id = ANY(:ids)"
)
#: The segments that they had taken are free since the lease expired.
_END_SHARES: Final = text("""
UPDATE shares SET ended_at = now(), cause = 'worker_lost'
WHERE ended_at IS NULL AND lease_expires_at < now() RETURNING worker
""")
_BLAME_WORKERS: Final = text(f"""
INSERT INTO workers (name, failure_count, seen_at)
SELECT {worker_of("worker")} AS name, count(*), '-infinity' FROM unnest(CAST(:workers AS text[])) AS worker
GROUP BY name ORDER BY name
ON CONFLICT (name) DO UPDATE SET failure_count = workers.failure_count + excluded.failure_count
""")  # noqa: S608 - our own text


def end_expired_shares(session: Session) -> int:
    """End shares whose lease expired, which count against their workers; return their number."""
    workers = list(session.scalars(_END_SHARES))
    if workers:
        session.execute(_BLAME_WORKERS, {"workers": workers})
    return len(workers)


def rescue_expired(session: Session) -> int:
    """Rescue jobs whose lease expired; return their number."""
    expired = list(session.scalars(_LOCK_EXPIRED))
    session.execute(_BLAME, {"ids": expired})
    by_losses: dict[tuple[int, bool], list[UUID]] = defaultdict(list)
    for job_id, losses, failures in session.execute(_COUNT_LOSSES, {"ids": expired}):
        by_losses[losses or 0, is_sick(failures)].append(job_id)
    for (losses, sick), ids in by_losses.items():
        _fail_or_retry(session, ids, losses, sick=sick)
    return len(expired)


def _fail_or_retry(session: Session, ids: Sequence[UUID], losses: int, *, sick: bool) -> None:
    lost = WorkerLostError()
    decision = decide(lost, {Cause.WORKER_LOST: losses}, sick=sick)
    if isinstance(decision, Fail):
        end_attempts(session, ids, Outcome.FAILED, decision.cause, lost.code, lost.detail)
        fail(session, ids, decision.code, decision.detail)
        return
    # No delay: the job did not fail, its worker did, and another worker may be idle.
    session.execute(_RETRY, {"ids": list(ids)})
    end_attempts(session, ids, Outcome.RETRIED, decision.cause, lost.code, lost.detail)
    notify(session, RENDER, len(ids))


def expire_deadlines(session: Session) -> int:
    """Fail jobs that are past their deadline and not final; return their number."""
    late = list(session.scalars(_LOCK_OVERDUE))
    error = DeadlineExceededError()
    end_attempts(session, late, Outcome.FAILED, Cause.DEADLINE, error.code, error.detail)
    fail(session, late, error.code, error.detail)
    return len(late)
