"""Reads what predictions are made from: learned rates, the work that waits and runs, and live workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.attempts.charges import ALIVE, worker_of
from dubline.orchestration.database.store.attempts.learning import CROP_SIZE, WEIGHT, WORK
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.domain.pools import DEFAULT_POOL
from dubline.orchestration.domain.prediction import LearnedRate, Predictor
from dubline.orchestration.domain.workload import Work, Workload

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

#: Retried jobs that are read while they pause, and as many whose pause is over; running jobs that are read.
LIMIT: Final = 10_000
#: Changes of the waiting work from which they are replaced by their sum.
SUM_FROM: Final = 64

_RATES: Final = text(
    f"SELECT preset, pool, crop_size, log_rate, variance, {WEIGHT} AS weight FROM learned_rates AS rate"  # noqa: S608
)
#: Queued jobs are counted by triggers. The others are few, and each part is a range of an index.
_WORK: Final = text(f"""
SELECT 'claimable' AS waiting, NULL AS pool, preset, crop_size, sum(jobs) AS jobs, sum(work_ms) / 1000.0 AS work_s
FROM waiting_work GROUP BY preset, crop_size
UNION ALL
SELECT waiting, pool, preset, crop_size, count(*), sum(work_s) FROM (
    (
        SELECT 'claimable' AS waiting, NULL AS pool, preset, {CROP_SIZE} AS crop_size, {WORK} AS work_s FROM jobs
        WHERE state = 'retrying' AND available_at <= now() ORDER BY available_at LIMIT :limit
    ) UNION ALL (
        SELECT 'delayed', NULL, preset, {CROP_SIZE}, {WORK} FROM jobs
        WHERE state = 'retrying' AND available_at > now() ORDER BY available_at LIMIT :limit
    ) UNION ALL (
        SELECT 'running', coalesce(workers.pool, '{DEFAULT_POOL}'), preset, {CROP_SIZE},
            {WORK} * (1 - progress_percent / 100)
        FROM (SELECT * FROM jobs WHERE state = 'running' ORDER BY lease_expires_at LIMIT :limit) AS jobs
        LEFT JOIN workers ON workers.name = {worker_of("lease_worker")}
    )
) AS others GROUP BY waiting, pool, preset, crop_size
""")  # noqa: S608 - our own text
_WORKERS: Final = text(f"SELECT pool, count(*) AS workers FROM workers WHERE {ALIVE} GROUP BY pool")  # noqa: S608
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

    def workload(self, limit: int = LIMIT) -> Workload:
        """Read the work that waits and runs, the live workers and the learned rates.

        Args:
            limit: retried and running jobs that are read; of more, the work is too small. Queued jobs have no limit.
        """
        with transaction(self._engine) as session:
            work = session.execute(_WORK, {"limit": limit}).all()
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

    def sum_up(self) -> int:
        """Replace the changes of the waiting work by their sums, if there are many; return how many rows remain."""
        with transaction(self._engine) as session:
            return session.execute(_SUM).rowcount  # type: ignore[attr-defined, no-any-return]


def read_rates(session: Session) -> Predictor:
    """Read the learned rates."""
    return Predictor(LearnedRate(**row._asdict()) for row in session.execute(_RATES))
