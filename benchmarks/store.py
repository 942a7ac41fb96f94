"""Benchmark of the store: `python -m benchmarks.store [--url URL] [--seconds 10]`.

Starts a PostgreSQL, or uses the empty database at URL. Prints one line per figure: accepting a batch of 10,000 rows;
claiming and finishing jobs from four processes. Times are measured by the caller, on the same machine as the database.
`plans.py` measures each call in large tables.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.database import LEASE_S, new_job, start_database
from sqlalchemy import Engine, text

from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store, connections
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.domain.jobs import NewJob

TENANT: Final = "benchmark"
BATCH: Final = 10_000
PROCESSES: Final = 4


def main() -> None:
    """Run the whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="SQLAlchemy URL of an empty database")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of claim and finish")
    options = parser.parse_args()
    with ExitStack() as opened:
        url = options.url or start_database(opened)
        settings = DatabaseSettings.model_validate({"url": url, "pool_size": 6})
        migrate(settings)
        engine = connections.create(settings)
        store = opened.enter_context(Store(engine))
        store.keys.create(TENANT)
        row = new_job(store, TENANT)
        _print_server(engine)
        _accept(store, engine, row)
        _claim_and_finish(url, options.seconds)


def _print_server(engine: Engine) -> None:
    with engine.connect() as connection:
        for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers"):
            print(f"{name}: {connection.scalar(text('SELECT current_setting(:name)'), {'name': name})}")


def _accept(store: Store, engine: Engine, row: NewJob) -> None:
    for name, change in (("without the trigger that looks for foreign uploads", "DISABLE"), ("with it", "ENABLE")):
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE jobs {change} TRIGGER jobs_naming"))
        times_s = [_timed(lambda: store.batches.insert(TENANT, [row] * BATCH, None, "")) for _ in range(3)]
        print(f"accept {BATCH} rows in one transaction, {name}: {statistics.median(times_s):.2f} s (median of 3)")


def _claim_and_finish(url: str, seconds: float) -> None:
    processes = multiprocessing.get_context("spawn")
    with processes.Pool(PROCESSES) as pool:
        started = time.perf_counter()
        results = pool.starmap(_work, [(url, seconds)] * PROCESSES)
        wall_s = time.perf_counter() - started
    claims = [one_s for claims_s, _ in results for one_s in claims_s]
    finishes = [one_s for _, finishes_s in results for one_s in finishes_s]
    busy_s = min(wall_s, seconds)
    print(f"claim + finish, {PROCESSES} processes: {len(finishes) / busy_s:.0f} jobs/s ({len(finishes)} jobs)")
    print(f"  claim: {_spread(claims)}; finish: {_spread(finishes)}")


def _work(url: str, seconds: float) -> tuple[list[float], list[float]]:
    claims: list[float] = []
    finishes: list[float] = []
    with Store.connect(DatabaseSettings.model_validate({"url": url, "pool_size": 6})) as store:
        store.check()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            started = time.perf_counter()
            lease = store.leases.claim("worker", LEASE_S)
            claimed = time.perf_counter()
            if lease is None:
                raise SystemExit("no claimable job is left: choose fewer --seconds")
            store.leases.finish(lease, 1, 5.0)
            claims.append(claimed - started)
            finishes.append(time.perf_counter() - claimed)
    return claims, finishes


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _spread(times_s: list[float]) -> str:
    percentiles = statistics.quantiles(times_s, n=100)
    return f"p50 {percentiles[49] * 1000:.2f} ms, p99 {percentiles[98] * 1000:.2f} ms"


if __name__ == "__main__":
    with exit_if_unread():
        main()
