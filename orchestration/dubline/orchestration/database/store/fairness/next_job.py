"""Selection of the job to claim: the due job with the smallest order key, unless its tenant holds too many workers.

A tenant whose jobs occupy `fairness.LARGEST_SHARE` of the live workers is passed over while another tenant has a due
job. Then only the first jobs of each other tenant are read, not the jobs of the tenant that is passed over. A tenant
that has reached its own limit (`running_limit`) is passed over in any case.
"""

from __future__ import annotations

from typing import Final

from dubline.orchestration.database.store.attempts.charges import (
    ALIVE,
    WORKER,
    failed_by,
    has_alternative,
    worker_of,
)
from dubline.orchestration.database.store.fairness.next_row import lock_first, next_row
from dubline.orchestration.database.store.fairness.running_limit import AT_LIMIT
from dubline.orchestration.domain.fairness import LARGEST_SHARE

#: Number of jobs in each state that are read of each tenant when one is passed over: others may take the first.
HEADS: Final = 4

#: The first condition of the last line is the cheap one: most jobs have no attempt.
_DUE: Final = (
    "(jobs.deadline_at IS NULL OR jobs.deadline_at > now())"
    f" AND (jobs.attempt_count = 0 OR NOT {failed_by('jobs.id', WORKER)} OR NOT {has_alternative('jobs.id', WORKER)})"
)
#: A queued job is due at once. Without a further condition the server does not expect to read many jobs.
_QUEUED: Final = f"jobs.state = 'queued' AND {_DUE}"
_RETRYING: Final = f"jobs.state = 'retrying' AND jobs.available_at <= now() AND {_DUE}"


def _tenants(name: str, state: str) -> str:
    """Return the recursive table of the tenants with jobs in a state, from one index entry each."""
    least = f"SELECT min(tenant) AS tenant FROM jobs WHERE state = '{state}'"  # noqa: S608 - our own text
    return f"""{name} AS (
    {least} AND EXISTS (SELECT FROM full_tenants)
    UNION ALL SELECT ({least} AND jobs.tenant > previous.tenant) FROM {name} AS previous
    WHERE previous.tenant IS NOT NULL
)"""  # noqa: S608 - our own text


def _heads(name: str, tenants: str) -> str:
    """Return the table of the first jobs of some tenants."""
    return f"""{name} AS (
    SELECT head.* FROM {tenants} CROSS JOIN LATERAL (
        (SELECT id, order_key, created_at FROM jobs WHERE jobs.tenant = {tenants}.tenant AND {_QUEUED}
            ORDER BY jobs.order_key LIMIT {HEADS})
        UNION ALL
        (SELECT id, order_key, created_at FROM jobs WHERE jobs.tenant = {tenants}.tenant AND {_RETRYING}
            ORDER BY jobs.available_at LIMIT {HEADS})
    ) AS head
)"""  # noqa: S608 - our own text


#: The whole queue is read in the order of its keys only while no tenant has reached its limit.
_UNLESS: Final = "EXISTS (SELECT FROM of_other) OR EXISTS (SELECT FROM at_limit)"
#: Common table expressions, for WITH RECURSIVE: `next_job` has the id of one locked job, or no row.
NEXT_JOB: Final = f"""
at_limit AS MATERIALIZED ({AT_LIMIT}), full_tenants AS MATERIALIZED (
    SELECT tenant FROM jobs WHERE state = 'running' AND {worker_of("lease_worker")} <> {WORKER} GROUP BY tenant
    HAVING count(DISTINCT {worker_of("lease_worker")}) >= greatest(1, floor({LARGEST_SHARE} * (
        SELECT 1 + count(*) FROM workers WHERE name <> {WORKER} AND {ALIVE}
    )))
    UNION SELECT tenant FROM at_limit
), {_tenants("queued_tenants", "queued")}, {_tenants("retrying_tenants", "retrying")}, waiting_tenants AS (
    SELECT tenant FROM queued_tenants UNION SELECT tenant FROM retrying_tenants
), other_tenants AS (
    SELECT tenant FROM waiting_tenants EXCEPT SELECT tenant FROM full_tenants
), {_heads("heads", "other_tenants")}, of_other AS (
{lock_first("jobs", "heads", "jobs.state IN ('queued', 'retrying')")}
), allowed_tenants AS (
    SELECT tenant FROM waiting_tenants WHERE EXISTS (SELECT FROM at_limit) AND NOT EXISTS (SELECT FROM of_other)
    EXCEPT SELECT tenant FROM at_limit
), {_heads("allowed_heads", "allowed_tenants")}, of_allowed AS (
{lock_first("jobs", "allowed_heads", "jobs.state IN ('queued', 'retrying')")}
), {next_row("jobs", _QUEUED, _RETRYING, "available_at", _UNLESS)}, next_job AS (
    SELECT id FROM of_other UNION ALL SELECT id FROM of_allowed UNION ALL SELECT id FROM next_row
)"""  # noqa: S608 - our own text
