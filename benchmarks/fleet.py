"""What a fleet of workers costs the database: `python -m benchmarks.fleet [--workers 1000] [--rows 200000]`.

Starts a PostgreSQL and fills it; half the jobs wait. For each call of a worker it prints the processor time of the
server and the bytes of WAL. Both hardly depend on the load of the machine. Then it multiplies them by the calls that
so many workers make in a second, idle and busy.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from benchmarks.database import driver_url, start_database
from benchmarks.machine import family, processor_s
from benchmarks.plans import NEW, TENANT, fill

from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind
from dubline.orchestration.domain.jobs import Stage
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.domain.leases import Lease

LEASE_S: Final = 3600.0
WARM: Final = 10
POLL_S: Final = 5.0
HEARTBEAT_S: Final = 4.0
#: Video of one checkpoint.
SEGMENT_S: Final = 4.8
#: Assumed length of a speech, and device time for a second of it.
SPEECH_S: Final = 30.0
RATE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call."""

    processor_s: float
    """In all processes of the server."""
    wal_bytes: float


def main() -> None:
    """Measure and multiply."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    with ExitStack() as opened:
        url = start_database(opened)
        settings = DatabaseSettings.model_validate({"url": url})
        migrate(settings)
        store = opened.enter_context(Store.connect(settings))
        store.keys.create(TENANT)
        fill(url, options.rows)
        admin = opened.enter_context(psycopg.connect(driver_url(url), autocommit=True))
        admin.execute("UPDATE batches SET row_count = 1000000, open_count = 1000000 WHERE open_count > 0")
        costs = _measure(store, admin, options.calls)
        _print_fleet(costs, options.workers)


def _measure(store: Store, admin: psycopg.Connection, calls: int) -> dict[str, Cost]:
    leases: list[Lease] = []

    def claim() -> None:
        lease = store.leases.claim("host:1/2", LEASE_S)
        if lease is None:
            raise SystemExit("no job is left: choose more --rows")
        leases.append(lease)

    numbers = iter(range(10**9))
    actions: dict[str, Callable[[], object]] = {
        # All jobs of the tables are of the other preset.
        "idle poll": lambda: store.leases.claim("host:1/2", LEASE_S, presets=("base",)),
        "submit": lambda: store.jobs.insert(TENANT, NEW),
        "claim": claim,
        "renew": lambda: store.leases.renew(leases[next(numbers) % len(leases)], LEASE_S),
        "progress": lambda: _progress(store, leases, next(numbers)),
        "checkpoint": lambda: _checkpoint(store, leases, next(numbers)),
        "finish": lambda: store.leases.finish(leases.pop(), 1, 5.0, 1.0),
        "poll of a job": lambda: store.jobs.get(TENANT, leases[0].job_id) if leases else None,
    }
    # The last one needs a lease that `finish` leaves.
    order = [name for name in actions if name != "poll of a job"]
    order.insert(order.index("finish"), "poll of a job")
    costs = {}
    for name in order:
        for _ in range(WARM if name != "finish" else 0):
            actions[name]()
        costs[name] = _cost(admin, actions[name], calls)
        one = costs[name]
        print(f"{name}: {one.processor_s * 1000:.2f} ms of the server's processor, {one.wal_bytes:.0f} bytes of WAL")
    return costs


def _progress(store: Store, leases: list[Lease], number: int) -> None:
    percent = number // len(leases) % 100
    store.leases.progress(leases[number % len(leases)], Stage.RENDERING, percent, number / 1000)


def _checkpoint(store: Store, leases: list[Lease], number: int) -> None:
    lease = leases[number % len(leases)]
    key = f"{lease.attempt_prefix}segment-{number:06}.mp4"
    checkpoint = Checkpoint(kind=CheckpointKind.SEGMENT, number=number, object_key=key, size_bytes=1, sha256="0" * 64)
    store.leases.save_checkpoint(lease, checkpoint)


def _cost(admin: psycopg.Connection, action: Callable[[], object], calls: int) -> Cost:
    before_s, before = _processor_s(admin), _wal(admin)
    for _ in range(calls):
        action()
    return Cost((_processor_s(admin) - before_s) / calls, (_wal(admin) - before) / calls)


def _wal(admin: psycopg.Connection) -> int:
    row = admin.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


def _processor_s(admin: psycopg.Connection) -> float:
    """Return the processor time of the server and of all its processes."""
    stat = Path(f"/proc/{admin.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    parent = int(stat[1])
    return sum(map(processor_s, family(parent)))


def _print_fleet(costs: dict[str, Cost], workers: int) -> None:
    jobs = workers / (SPEECH_S * RATE)
    idle = {"idle poll": workers / POLL_S}
    busy = {
        "submit": jobs,
        "claim": jobs,
        "renew": workers / HEARTBEAT_S,
        "progress": float(workers),
        "checkpoint": jobs * (1 + SPEECH_S / SEGMENT_S),
        "finish": jobs,
        "poll of a job": jobs * 10,
    }
    print(f"{workers} workers, {SPEECH_S:.0f} s of speech a job, {RATE} device seconds for each: {jobs:.1f} jobs/s")
    for what, rates in (("idle", idle), ("busy", busy)):
        cores = sum(rate * costs[name].processor_s for name, rate in rates.items())
        wal = sum(rate * costs[name].wal_bytes for name, rate in rates.items())
        print(
            f"{what}: {sum(rates.values()):.0f} calls/s, {cores:.2f} cores of the server, {wal / 1e6:.2f} MB/s of WAL"
        )
        for name, rate in rates.items():
            print(f"  {name}: {rate:.1f}/s, {rate * costs[name].processor_s:.3f} cores")


if __name__ == "__main__":
    with exit_if_unread():
        started_at = time.monotonic()
        main()
        print(f"measured in {time.monotonic() - started_at:.0f} s")
