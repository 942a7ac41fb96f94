"""Backlogs: the jobs that wait and run by preset, and totals of the installation, for metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.outbox import COUNT_LIMIT
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.backlog import Backlog, JobBacklog, TenantClass, Waiting

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Jobs that are read in each place: enough for the largest batch.
LIMIT: Final = 5_000


def _place(waiting: Waiting, jobs: str, order: str) -> str:
    """Return the statement that adds up the first jobs in one range of an index, for each tenant and preset."""
    return f"""(
    SELECT '{waiting}' AS waiting, tenant, preset, count(*) AS jobs, min(available_at) AS oldest_at
    FROM (
        SELECT tenant, preset, available_at FROM jobs WHERE {jobs} ORDER BY {order} LIMIT :limit
    ) AS read GROUP BY tenant, preset
)"""  # noqa: S608 - our own text


_PLACES: Final = (
    _place(Waiting.CLAIMABLE, "state = 'queued' AND available_at <= now()", "order_key"),
    _place(Waiting.CLAIMABLE, "state = 'retrying' AND available_at <= now()", "available_at"),
    _place(Waiting.DELAYED, "state = 'retrying' AND available_at > now()", "available_at"),
    _place(Waiting.RUNNING, "state = 'running'", "lease_expires_at"),
)
#: Added up before tenants are joined: of thousands of jobs, the join and its order would take longer than reading.
_JOBS: Final = text(f"""
SELECT waiting, preset, running_jobs IS NOT NULL AS limited, sum(jobs) AS jobs,
    greatest(0, extract(epoch FROM now() - min(oldest_at))) AS oldest_s
FROM ({" UNION ALL ".join(_PLACES)}) AS open JOIN tenants ON tenants.name = tenant GROUP BY waiting, preset, limited
""")  # noqa: S608 - our own text
#: A quarantined worker repeats its self-test after ten minutes at most, and is seen then. One that was removed during a
#: self-test stays marked.
_QUARANTINED: Final = "quarantined_until > now() AND seen_at > now() - interval '1 hour'"
# The store keeps the changes of a tenant few, so this reads some rows of each tenant.
_TOTALS: Final = text(f"""
SELECT coalesce(sum(jobs), 0) AS jobs, coalesce(sum(stored_bytes), 0) AS stored_bytes, (
    SELECT greatest(0, extract(epoch FROM now() - created_at)) FROM outbox ORDER BY id LIMIT 1
) AS outbox_s, (SELECT count(*) FROM workers WHERE {_QUARANTINED}) AS quarantined FROM holdings
""")  # noqa: S608 - our own text
_DUE_PROBES: Final = "state = 'probing' AND lease_token IS NULL AND probe_after <= now()"
#: Each part is a range of the index that claims of probes read, too.
_PROBES: Final = text(f"""
SELECT count(*) AS probes, greatest(0, extract(epoch FROM now() - min(probe_after))) AS oldest_s FROM (
    (
        SELECT probe_after FROM uploads WHERE {_DUE_PROBES} AND probe_attempts = 0
        ORDER BY order_key LIMIT {COUNT_LIMIT}
    ) UNION ALL (
        SELECT probe_after FROM uploads WHERE {_DUE_PROBES} AND probe_attempts > 0
        ORDER BY probe_after LIMIT {COUNT_LIMIT}
    )
) AS waiting
""")  # noqa: S608 - our own text


class Backlogs:
    """Reads the backlog of all tenants."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, limit: int = LIMIT) -> Backlog:
        """Read the backlog.

        Args:
            limit: jobs that are read in each place; of more, the numbers by preset are too small.
        """
        with transaction(self._engine) as session:
            jobs = session.execute(_JOBS, {"limit": limit}).all()
            totals = session.execute(_TOTALS).one()
            probes = session.execute(_PROBES).one()
        return Backlog(
            jobs=tuple(
                JobBacklog(
                    waiting=Waiting(row.waiting),
                    preset=row.preset,
                    tenant_class=TenantClass.LIMITED if row.limited else TenantClass.DEFAULT,
                    jobs=int(row.jobs),
                    oldest_s=float(row.oldest_s),
                )
                for row in jobs
            ),
            probes=probes.probes,
            oldest_probe_s=float(probes.oldest_s or 0.0),
            quarantined_workers=totals.quarantined,
            outbox_oldest_s=float(totals.outbox_s or 0.0),
            open_jobs=int(totals.jobs),
            stored_bytes=int(totals.stored_bytes),
        )
