"""Reading of usage."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from dubline.orchestration.database.rows.base import sql_list
from dubline.orchestration.database.store.transaction import OneStatement
from dubline.orchestration.domain.jobs import FINAL
from dubline.orchestration.domain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from sqlalchemy import Engine

_SELECT: Final = """
SELECT tenant, day, preset, count(*) AS jobs,
    count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
    sum(video_s) AS video_s, sum(device_s) AS device_s, sum(size_bytes)::bigint AS size_bytes
FROM usage
WHERE tenant {tenants} AND day BETWEEN %(first)s AND %(last)s
GROUP BY tenant, day, preset ORDER BY day, tenant, preset
"""
_SELECT_OF_TENANT: Final = _SELECT.format(tenants="= %(tenant)s")
_SELECT_OF_ALL: Final = _SELECT.format(tenants="IN (SELECT name FROM tenants)")
#: When the next job arrived. The first job of each tenant and state is found by `jobs_listed`.
_NEXT: Final = f"""
SELECT min((SELECT min(created_at) FROM jobs
    WHERE tenant = tenants.name AND state = ended.state AND created_at BETWEEN %(first)s AND %(last)s)) AS arrival
FROM tenants, unnest(ARRAY[{sql_list(FINAL)}]) AS ended (state)
"""  # noqa: S608 - our own text
#: The condition on tenants lets the server read `jobs_listed`, one range for each tenant and state.
_TRACE: Final = f"""
SELECT created_at, gpu_s, preset FROM jobs
WHERE tenant IN (SELECT name FROM tenants) AND state IN ({sql_list(FINAL)}) AND gpu_s > 0
    AND created_at BETWEEN %(first)s AND %(last)s AND created_at < %(before)s
ORDER BY created_at, id
"""  # noqa: S608 - our own text
#: Period of one statement of a trace.
_TRACE_STEP: Final = timedelta(hours=1)


class UsageTotals:
    """Sums over the rows that a trigger inserts with the end of each job."""

    def __init__(self, engine: Engine) -> None:
        self._run = OneStatement(engine)

    def of_tenant(self, tenant: str, first: date, last: date) -> tuple[Usage, ...]:
        """Read the usage of a tenant by day and preset.

        Args:
            tenant: the tenant.
            first: first day, in UTC.
            last: last day; included.
        """
        return _records(self._run(_SELECT_OF_TENANT, tenant=tenant, first=first, last=last))

    def of_all(self, first: date, last: date) -> tuple[Usage, ...]:
        """Read the usage of every tenant, as `of_tenant`."""
        return _records(self._run(_SELECT_OF_ALL, first=first, last=last))

    def trace(self, first: date, last: date) -> Iterator[tuple[datetime, float, str]]:
        """Read when the jobs of all tenants arrived and what they took, in the order of arrival.

        Jobs that are not final, that took no device time or that were deleted are left out. Memory holds the jobs of
        one hour; hours without any are skipped.

        Args:
            first: first day of arrival, in UTC.
            last: last day; included.

        Yields:
            Time of acceptance, device seconds of all attempts, preset.
        """
        start, end = datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC)
        while (arrival := self._run(_NEXT, first=start, last=end)[0].arrival) is not None:
            start = arrival + _TRACE_STEP
            for row in self._run(_TRACE, first=arrival, last=end, before=start):
                yield row.created_at, row.gpu_s, row.preset


def _records(rows: list[tuple[object, ...]]) -> tuple[Usage, ...]:
    return tuple(Usage(**row._asdict()) for row in rows)  # type: ignore[attr-defined]  # named tuples
