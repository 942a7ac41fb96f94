"""Reading of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.orchestration.database.store.transaction import OneStatement
from dubline.orchestration.domain.usage import Usage

if TYPE_CHECKING:
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


def _records(rows: list[tuple[object, ...]]) -> tuple[Usage, ...]:
    return tuple(Usage(**row._asdict()) for row in rows)  # type: ignore[attr-defined]  # named tuples
