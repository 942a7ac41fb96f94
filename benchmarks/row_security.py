"""Price of row-level security: claims, polls and lists with and without policies on the tables of tenants.

    python -m benchmarks.row_security [--rows 200000] [--calls 300]

Starts a PostgreSQL and fills it as `benchmarks.plans` does. A user that is subject to policies (they do not apply to
owners and superusers) makes the same calls with and without them, in alternate rounds, so that the load of the machine
affects both alike. With policies each transaction first sets its tenant, which is one more round trip, and a worker,
which claims for all tenants, sets `*`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final
from uuid import UUID

import psycopg
from benchmarks.database import driver_url, start_database
from benchmarks.plans import LEASE_S, TENANT, WINDOW, fill
from sqlalchemy import create_engine, event, make_url

from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.domain.listing import JobFilter
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

TABLES: Final = ("uploads", "batches", "jobs", "audit", "usage", "holdings")
SETTING: Final = "current_setting('dubline.tenant', true)"
#: A subquery, so that the setting is read once for a statement.
POLICY: Final = f"CREATE POLICY own ON {{}} USING (tenant = (SELECT {SETTING}) OR (SELECT {SETTING}) = '*')"
USER: Final = (
    "CREATE ROLE service LOGIN PASSWORD 'service'",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO service",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO service",
)
ROUNDS: Final = 6


def main() -> None:
    """Measure each call in alternate rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    with ExitStack() as opened:
        url = start_database(opened)
        migrate(settings := DatabaseSettings.model_validate({"url": url}))
        with Store.connect(settings) as store:
            store.keys.create(TENANT)
        fill(url, options.rows)
        admin = opened.enter_context(psycopg.connect(driver_url(url), autocommit=True))
        for statement in (*USER, *(POLICY.format(table) for table in TABLES)):
            admin.execute(statement)
        plain = opened.enter_context(_store(url))
        api, worker = opened.enter_context(_store(url, TENANT)), opened.enter_context(_store(url, "*"))
        for name, call in CALLS.items():
            secured = worker if name == CLAIM else api
            times: dict[bool, list[float]] = {False: [], True: []}
            for number in range(ROUNDS * 2):
                secure = number % 2 == 1
                for table in TABLES:
                    admin.execute(f"ALTER TABLE {table} {'ENABLE' if secure else 'DISABLE'} ROW LEVEL SECURITY")
                times[secure] += _measure(call, secured if secure else plain, options.calls // ROUNDS)
            print(f"{name}: without {_spread(times[False])}; with {_spread(times[True])}")


def _store(url: str, tenant: str | None = None) -> Store:
    """Connect a store; a worker's connections have their tenant, `*`, from their beginning."""
    options = {"options": "-c dubline.tenant=*"} if tenant == "*" else {}
    engine = create_engine(make_url(url).set(username="service", password="service"), connect_args=options)  # noqa: S106
    if tenant == TENANT:
        event.listen(engine, "begin", _set_tenant)
    return Store(engine)


def _set_tenant(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT set_config('dubline.tenant', '{TENANT}', true)")


def _measure(call: Callable[[Store], object], store: Store, times: int) -> list[float]:
    took_s = []
    for _ in range(8 + times):
        started = time.perf_counter()
        call(store)
        took_s.append(time.perf_counter() - started)
    return took_s[8:]


def _claim_and_release(store: Store) -> None:
    lease = store.leases.claim("host:1/2", LEASE_S)
    if lease is not None:
        store.leases.release(lease)


CLAIM: Final = "claim and release"
CALLS: Final[dict[str, Callable[[Store], object]]] = {
    CLAIM: _claim_and_release,
    "poll of a job": lambda store: store.jobs.get(TENANT, UUID(int=0x11)),
    "list of jobs": lambda store: store.jobs.page(TENANT, JobFilter(states=frozenset({JobState.SUCCEEDED})), WINDOW),
    "list of jobs in any state": lambda store: store.jobs.page(TENANT, JobFilter(), WINDOW),
    "poll of a batch": lambda store: store.batches.get(TENANT, UUID(int=1)),
}


def _spread(times_s: list[float]) -> str:
    percentiles = statistics.quantiles(times_s, n=100)
    return f"p50 {percentiles[49] * 1000:.2f} ms, p90 {percentiles[89] * 1000:.2f} ms"


if __name__ == "__main__":
    with exit_if_unread():
        main()
