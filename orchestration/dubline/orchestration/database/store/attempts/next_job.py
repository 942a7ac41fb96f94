"""Selection of the job to claim: the due job with the smallest order key, unless its tenant holds too many workers.

Only jobs of the presets that the worker renders are read, so a queue of other presets costs it nothing. Of the first
jobs of each preset, those whose networks are on its device count as if their order keys were `fairness.PREFERENCE_S`
smaller.

A tenant whose jobs occupy `fairness.LARGEST_SHARE` of the live workers is passed over while another tenant has a due
job. Then only the first jobs of each other tenant are read, not the jobs of the tenant that is passed over. A tenant
that has reached its own limit (`running_limit`) is passed over in any case.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dubline.orchestration.database.store.attempts.busy import BUSY
from dubline.orchestration.database.store.attempts.charges import (
    ALIVE,
    WORKER,
    failed_by,
    has_alternative,
)
from dubline.orchestration.database.store.attempts.running_limit import AT_LIMIT
from dubline.orchestration.database.store.fairness.next_row import AGAIN_AT_ONCE, lock_first
from dubline.orchestration.domain.fairness import LARGEST_SHARE, PREFERENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Number of jobs in each state that are read of each tenant and preset when a tenant is passed over: others may take
#: the first.
HEADS: Final = 4
#: Number of queued jobs of each preset that are compared, for the same reason.
FIRST: Final = 8
#: Names that may be part of a statement.
_NAME: Final = re.compile(r"[a-z0-9_-]+")

#: The first condition of the last line is the cheap one: most jobs have no attempt.
_DUE: Final = (
    "(jobs.deadline_at IS NULL OR jobs.deadline_at > now())"
    f" AND (jobs.attempt_count = 0 OR NOT {failed_by('jobs.id', WORKER)}"
    f" OR NOT {has_alternative('jobs.id', 'jobs.preset', WORKER)})"
)
#: Not an equality: then an index without the preset has the same order, and the server may read all jobs in it.
_SERVED: Final = "jobs.preset BETWEEN served.preset AND served.preset"
#: A queued job is due at once. Without a further condition the server does not expect to read many jobs.
_QUEUED: Final = f"{_SERVED} AND jobs.state = 'queued' AND {_DUE}"
_RETRYING: Final = f"{_SERVED} AND jobs.state = 'retrying' AND jobs.available_at <= now() AND {_DUE}"
_WAITS: Final = "jobs.state IN ('queued', 'retrying')"
#: Names of networks (`weights.held_name`) between spaces. One text: see `claim_of` about arrays.
_HELD: Final = (
    "strpos(CAST(%(held)s AS text), ' ' || jobs.preset || ':' || coalesce(jobs.weights_sha256, '') || ' ') > 0"
)
#: The order key by which the first jobs are compared.
_PREFERRED: Final = f"(jobs.order_key - CASE WHEN {_HELD} THEN {PREFERENCE_S} ELSE 0 END)"
_CANDIDATE: Final = f"SELECT id, {_PREFERRED} AS order_key, created_at FROM jobs"  # noqa: S608 - our own text
_BY_KEY: Final = "ORDER BY jobs.preset, jobs.order_key, jobs.created_at, jobs.id"
_BY_PAUSE: Final = "ORDER BY jobs.preset, jobs.available_at, jobs.created_at, jobs.id"


def sql_texts(names: Iterable[str]) -> str:
    """Return names as SQL literals in order.

    Raises:
        ValueError: a name has other characters than those of a preset.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a preset")
    return ", ".join(f"'{name}'" for name in sorted(names))


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
    SELECT head.* FROM {tenants} CROSS JOIN served CROSS JOIN LATERAL (
        ({_CANDIDATE} WHERE jobs.tenant = {tenants}.tenant AND {_QUEUED}
            ORDER BY jobs.preset, jobs.order_key LIMIT {HEADS})
        UNION ALL
        ({_CANDIDATE} WHERE jobs.tenant = {tenants}.tenant AND {_RETRYING}
            ORDER BY jobs.preset, jobs.available_at LIMIT {HEADS})
    ) AS head
)"""  # noqa: S608 - our own text


def _first(name: str, due: str, order: str, count: int) -> str:
    """Return the table of the first jobs of each preset."""
    return f"""{name} AS (
    SELECT first.* FROM served CROSS JOIN LATERAL (
        {_CANDIDATE} WHERE {due} {order} LIMIT {count}
    ) AS first
)"""  # noqa: S608 - our own text


def _any(name: str, due: str, order: str, unless: str) -> str:
    """Return the table of one locked job, for when others have locked the first ones of all presets."""
    return f"""{name} AS (
    SELECT locked.id FROM served CROSS JOIN LATERAL (
        SELECT id FROM jobs WHERE NOT ({unless}) AND {due} {order} LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS locked LIMIT 1
)"""  # noqa: S608 - our own text


#: The whole queue is read in the order of its keys only while no tenant has reached its limit.
_LIMITED: Final = "EXISTS (SELECT FROM of_other) OR EXISTS (SELECT FROM at_limit)"
_AGAIN: Final = f"{_LIMITED} OR EXISTS (SELECT FROM again)"
_NEW: Final = f"{_AGAIN} OR EXISTS (SELECT FROM new)"
_ANY_NEW: Final = f"{_NEW} OR EXISTS (SELECT FROM any_new)"
_NOT_BEHIND: Final = f"coalesce({_PREFERRED} <= (SELECT min(order_key) FROM first_new), true)"  # noqa: S608 - our own text
#: Common table expressions that follow `served`. The queue is read as in `next_row`, for each preset by itself.
_NEXT_JOB: Final = f"""
at_limit AS MATERIALIZED ({AT_LIMIT}), full_tenants AS MATERIALIZED (
    SELECT tenant FROM ({BUSY}) AS busy WHERE worker <> {WORKER} GROUP BY tenant
    HAVING count(DISTINCT worker) >= greatest(1, floor({LARGEST_SHARE} * (
        SELECT 1 + count(*) FROM workers WHERE name <> {WORKER} AND {ALIVE}
    )))
    UNION SELECT tenant FROM at_limit
), {_tenants("queued_tenants", "queued")}, {_tenants("retrying_tenants", "retrying")}, waiting_tenants AS (
    SELECT tenant FROM queued_tenants UNION SELECT tenant FROM retrying_tenants
), other_tenants AS (
    SELECT tenant FROM waiting_tenants EXCEPT SELECT tenant FROM full_tenants
), {_heads("heads", "other_tenants")}, of_other AS (
{lock_first("jobs", "heads", _WAITS)}
), allowed_tenants AS (
    SELECT tenant FROM waiting_tenants WHERE EXISTS (SELECT FROM at_limit) AND NOT EXISTS (SELECT FROM of_other)
    EXCEPT SELECT tenant FROM at_limit
), {_heads("allowed_heads", "allowed_tenants")}, of_allowed AS (
{lock_first("jobs", "allowed_heads", _WAITS)}
), {_first("first_again", _RETRYING, _BY_PAUSE, AGAIN_AT_ONCE)}, {_first("first_new", _QUEUED, _BY_KEY, FIRST)},
again AS (
{lock_first("jobs", "first_again", f"{_WAITS} AND NOT ({_LIMITED}) AND {_NOT_BEHIND}")}
), new AS (
{lock_first("jobs", "first_new", f"{_WAITS} AND NOT ({_AGAIN})")}
), {_any("any_new", _QUEUED, _BY_KEY, _NEW)}, {_any("any_again", _RETRYING, _BY_PAUSE, _ANY_NEW)}, next_job AS (
    SELECT id FROM of_other UNION ALL SELECT id FROM of_allowed
    UNION ALL SELECT id FROM again UNION ALL SELECT id FROM new
    UNION ALL SELECT id FROM any_new UNION ALL SELECT id FROM any_again
)"""  # noqa: S608 - our own text


def next_job(presets: Iterable[str]) -> str:
    """Return common table expressions, for WITH RECURSIVE: `next_job` has the id of one locked job, or no row.

    Args:
        presets: that the worker renders.
    """
    return f"served (preset) AS (SELECT unnest(ARRAY[{sql_texts(presets)}])), {_NEXT_JOB}"
