"""Charged attempts in SQL: which attempts count against a budget, and which workers a job avoids.

`domain.retry` defines the rules. A job avoids a worker that failed it while another worker is alive that did not fail
it, its alternative.

The worker of an attempt is `HOST:PARENT/CHILD`. A worker keeps the part before the slash when its child process is
replaced; rules about workers compare this part.
"""

from __future__ import annotations

from typing import Final

from dubline.orchestration.database.rows.base import sql_list
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.retry import CHARGED_OUTCOME, RESET_ON_PROGRESS

#: Seconds after which a worker that neither claims nor renews counts as gone: twelve polls of an idle worker.
ALIVE_S: Final = 60
#: Least seconds between two writes of `workers.seen_at`, so that a claim rarely writes one row more.
SEEN_STEP_S: Final = 10


def worker_of(process: str) -> str:
    """Return the SQL expression of the worker of a process; `process` is an expression of `HOST:PARENT/CHILD`."""
    return f"split_part({process}, '/', 1)"


def host_of(process: str) -> str:
    """Return the SQL expression of the host of a process, which on Kubernetes is the name of its pod."""
    return f"split_part({process}, ':', 1)"


#: SQL condition on the rows of `workers` that are alive and not quarantined.
ALIVE: Final = (
    f"workers.seen_at > now() - interval '{ALIVE_S} s'"
    " AND (workers.quarantined_until IS NULL OR workers.quarantined_until <= now())"
)
#: SQL condition on the rows of `attempts` that are charged.
CHARGED: Final = f"""outcome = '{CHARGED_OUTCOME}' AND (cause NOT IN ({sql_list(RESET_ON_PROGRESS)}) OR number > (
    SELECT coalesce(max(other.number), 0) FROM attempts AS other WHERE other.job_id = attempts.job_id AND other.kept
))"""  # noqa: S608 - our own text


def failed_by(job: str, worker: str) -> str:
    """Return the SQL condition that a worker failed a job; an outage does not count.

    Args:
        job: SQL expression of the job's id.
        worker: SQL expression of the worker's name.
    """
    # Not EXISTS: for it the planner may read the attempts at all jobs once, and a claim needs those at a few.
    return (
        f"(SELECT count(*) > 0 FROM attempts WHERE attempts.job_id = {job}"  # noqa: S608 - our own text
        f" AND {worker_of('attempts.worker')} = {worker}"
        f" AND cause <> '{Cause.TRANSIENT}' AND {CHARGED})"
    )


def has_alternative(job: str, preset: str, worker: str) -> str:
    """Return the SQL condition that another worker is alive that renders the job's preset and did not fail the job.

    Args:
        job: SQL expression of the job's id.
        preset: SQL expression of its preset.
        worker: SQL expression of the worker's name.
    """
    return (
        f"EXISTS (SELECT FROM workers WHERE workers.name <> {worker} AND {ALIVE}"
        f" AND coalesce({preset} = ANY(workers.presets), true) AND NOT {failed_by(job, 'workers.name')})"
    )


def times_charged(worker: str, alternative: str) -> str:
    """Return the SQL aggregate over charged attempts of one cause that is compared with its budget.

    Args:
        worker: SQL expression of the worker whose failure is counted by the caller.
        alternative: SQL expression of the result of `has_alternative`.
    """
    return (
        f"CASE WHEN cause = '{Cause.TRANSIENT}' OR NOT {alternative} THEN count(*)"
        f" ELSE count(DISTINCT {worker_of('attempts.worker')})"
        f" FILTER (WHERE {worker_of('attempts.worker')} <> {worker}) END"
    )


#: The worker as a parameter, with its type, which the server cannot derive everywhere. It is not derived from the name
#: of the process: the server would calculate it in advance, and plan the statement at each call to save this time.
WORKER: Final = "CAST(%(worker_name)s AS text)"


def seen(presets: str) -> str:
    """Return the common table expression that records that a worker is alive, its pool and its presets.

    Args:
        presets: SQL expression of an array of text.
    """
    return f"""seen AS (
    INSERT INTO workers (name, pool, presets) SELECT {WORKER}, %(pool)s, {presets} WHERE NOT EXISTS (
        SELECT FROM workers WHERE name = {WORKER} AND seen_at > now() - interval '{SEEN_STEP_S} s'
        AND pool = %(pool)s AND presets = {presets}
    ) ON CONFLICT (name) DO UPDATE SET seen_at = now(), pool = excluded.pool, presets = excluded.presets
)"""  # noqa: S608 - our own text
