"""Reads what predictions are made from: learned rates, the work that waits and runs, and live workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.attempts.busy import OPEN_SHARE
from dubline.orchestration.database.store.attempts.charges import ALIVE, worker_of
from dubline.orchestration.database.store.attempts.learning import CROP_SIZE, WEIGHT, WORK
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.domain.errors import BacklogUnknownError
from dubline.orchestration.domain.eta import Open, Queued, QueueView
from dubline.orchestration.domain.fairness import Queue
from dubline.orchestration.domain.pools import DEFAULT_POOL
from dubline.orchestration.domain.prediction import LearnedRate, Predictor
from dubline.orchestration.domain.workload import Work, Workload

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

#: Running jobs that are read: ten for each of a thousand workers.
LIMIT: Final = 10_000
#: Retried jobs that are read while they pause, and as many whose pause is over. Only an outage makes more of them.
RETRIED_LIMIT: Final = 1000
#: Changes of the waiting work from which they are replaced by their sum.
SUM_FROM: Final = 64

_RATES: Final = text(
    f"SELECT preset, pool, crop_size, log_rate, variance, {WEIGHT} AS weight FROM learned_rates AS rate"  # noqa: S608
)
#: Queued jobs are counted by triggers. The others are few, and each part is a range of an index.
# Materialized: the planner would look up each running job's worker by an index, with three blocks for each.
_WORK: Final = text(f"""
WITH pools AS MATERIALIZED (SELECT name, pool FROM workers)
SELECT 'claimable' AS waiting, NULL AS pool, preset, crop_size, sum(jobs) AS jobs, sum(work_ms) / 1000.0 AS work_s
FROM waiting_work GROUP BY preset, crop_size
UNION ALL
SELECT waiting, pool, preset, crop_size, count(*), sum(work_s) FROM (
    (
        SELECT 'claimable' AS waiting, NULL AS pool, preset, {CROP_SIZE} AS crop_size, {WORK} AS work_s FROM jobs
        WHERE state = 'retrying' AND available_at <= now() ORDER BY available_at LIMIT :retried
    ) UNION ALL (
        SELECT 'delayed', NULL, preset, {CROP_SIZE}, {WORK} FROM jobs
        WHERE state = 'retrying' AND available_at > now() ORDER BY available_at LIMIT :retried
    ) UNION ALL (
        SELECT 'running', coalesce(pools.pool, '{DEFAULT_POOL}'), preset, {CROP_SIZE},
            {WORK} * (1 - progress_percent / 100)
        FROM (SELECT * FROM jobs WHERE state = 'running' ORDER BY lease_expires_at LIMIT :limit) AS jobs
        LEFT JOIN pools ON pools.name = {worker_of("lease_worker")}
    )
) AS others GROUP BY waiting, pool, preset, crop_size
""")  # noqa: S608 - our own text
_WORKERS: Final = text(f"SELECT pool, count(*) AS workers FROM workers WHERE {ALIVE} GROUP BY pool")  # noqa: S608
#: A tenant whose virtual time is not ahead of the clock has no queued job. Of the others, one index entry is read.
_TENANTS: Final = text(f"""
SELECT first, greatest(first, virtual_time_s) AS end_s FROM tenants CROSS JOIN LATERAL (
    SELECT min(order_key) AS first FROM jobs WHERE jobs.tenant = tenants.name AND state = 'queued'
) AS queued
WHERE first IS NOT NULL
    AND virtual_time_s > (SELECT coalesce(max(at_s), 0) FROM queue_clocks WHERE queue = '{Queue.RENDER}')
""")  # noqa: S608 - our own text
_OPEN: Final = f"""
SELECT order_key, preset, {CROP_SIZE} AS crop_size, {WORK} * (1 - progress_percent / 100) / (
        1 + CASE WHEN shared_segments IS NULL THEN 0 ELSE (
            SELECT count(*) FROM shares WHERE shares.job_id = jobs.id AND {OPEN_SHARE}
        ) END
    ) AS work_s, state = 'queued' AS waits FROM jobs
"""  # noqa: S608 - our own text
_OPEN_JOB: Final = text(f"{_OPEN} WHERE tenant = :tenant AND id = :id AND finalized_at IS NULL")
#: The rows of a batch are queued in their order, so its last queued job is that with the largest position.
_OPEN_JOBS: Final = text(f"""
({_OPEN} WHERE batch_id = :batch_id AND tenant = :tenant AND state = 'queued' ORDER BY position DESC LIMIT 1)
UNION ALL
({_OPEN} WHERE batch_id = :batch_id AND tenant = :tenant AND state IN ('running', 'retrying') LIMIT :limit)
""")
_SUM: Final = text(f"""
WITH summed AS (
    DELETE FROM waiting_work WHERE (SELECT count(*) FROM waiting_work) >= {SUM_FROM} RETURNING *
)
INSERT INTO waiting_work (preset, crop_size, jobs, work_ms)
SELECT preset, crop_size, sum(jobs), sum(work_ms) FROM summed GROUP BY preset, crop_size
HAVING (sum(jobs), sum(work_ms)) <> (0, 0)
""")  # noqa: S608 - our own text


class Predictions:
    """Reads what predictions are made from."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def workload(self, limit: int = LIMIT, retried: int = RETRIED_LIMIT) -> Workload:
        """Read the work that waits and runs, the live workers and the learned rates.

        Args:
            limit: running jobs that are read; of more, the work is too small. Queued jobs have no limit.
            retried: retried jobs that are read, in each place.

        Raises:
            BacklogUnknownError: more jobs have left the queue than entered it, because those that were in it before its
                triggers are not counted yet.
        """
        with transaction(self._engine) as session:
            work = session.execute(_WORK, {"limit": limit, "retried": retried}).all()
            if any(row.jobs < 0 for row in work):
                raise BacklogUnknownError
            return Workload(
                work=tuple(
                    Work(
                        waiting=Waiting(row.waiting),
                        pool=row.pool,
                        preset=row.preset,
                        crop_size=row.crop_size,
                        jobs=int(row.jobs),
                        work_s=float(row.work_s),
                    )
                    for row in work
                    if row.jobs > 0
                ),
                workers={row.pool: row.workers for row in session.execute(_WORKERS)},
                predictor=read_rates(session),
            )

    def queue(self, limit: int = LIMIT, retried: int = RETRIED_LIMIT) -> QueueView:
        """Read the workload, and the places of the tenants in the queue; as `workload`.

        Raises:
            BacklogUnknownError: as for `workload`.
        """
        workload = self.workload(limit, retried)
        with transaction(self._engine) as session:
            found = session.execute(_TENANTS).all()
        return QueueView(workload=workload, tenants=tuple(Queued(first=row.first, end=row.end_s) for row in found))

    def open_job(self, tenant: str, job_id: UUID) -> Open | None:
        """Read what the prediction needs of a job; None if it is final or the tenant has no such job."""
        with transaction(self._engine) as session:
            row = session.execute(_OPEN_JOB, {"tenant": tenant, "id": job_id}).one_or_none()
        return None if row is None else Open(**row._asdict())

    def open_jobs(self, tenant: str, batch_id: UUID) -> tuple[Open, ...]:
        """Read what the prediction needs of a batch: its last queued job, and up to `LIMIT` that run or are retried."""
        with transaction(self._engine) as session:
            rows = session.execute(_OPEN_JOBS, {"tenant": tenant, "batch_id": batch_id, "limit": LIMIT})
            return tuple(Open(**row._asdict()) for row in rows)

    def sum_up(self) -> int:
        """Replace the changes of the waiting work by their sums, if there are many; return how many rows remain."""
        with transaction(self._engine) as session:
            return session.execute(_SUM).rowcount  # type: ignore[attr-defined, no-any-return]


def read_rates(session: Session) -> Predictor:
    """Read the learned rates."""
    return Predictor(LearnedRate(**row._asdict()) for row in session.execute(_RATES))
