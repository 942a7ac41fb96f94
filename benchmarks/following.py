"""What following a batch of 10,000 finished jobs costs the API: `python -m benchmarks.following [--jobs 10000]`.

It starts a PostgreSQL and the API, fills one batch with finished jobs, and reads it as the command line does. For
each way of reading it prints the processor time of the API's process, and the time of the caller.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Final

from benchmarks.database import new_job
from benchmarks.machine import processor_s
from sqlalchemy import text

from dubline.client import Client
from dubline.embedded.application import TENANT
from dubline.embedded.stack import Stack
from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store, connections
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

POLLS: Final = 20
FINISH: Final = """
    UPDATE jobs SET state = 'succeeded', attempt_count = 1, started_at = now(), finalized_at = now(),
        progress_percent = 100, result_key = 'results/' || id || '/1.mp4', result_size_bytes = 1,
        result_duration_s = 5, result_sha256 = repeat('0', 64)
    WHERE batch_id = :batch
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    options = parser.parse_args()
    with ExitStack() as opened:
        stack = Stack()
        opened.callback(stack.stop)
        stack.start(only=("initdb", "database", "bucket", "prepare", "api"))
        settings = DatabaseSettings.model_validate({"url": stack.environ["DUBLINE_DATABASE_URL"]})
        store = opened.enter_context(Store(connections.create(settings)))
        batch = str(_finished_batch(store, options.jobs))
        client = opened.enter_context(Client(stack.url, stack.key))
        _measure(client, batch, stack.children["api"].pid)


def _finished_batch(store: Store, count: int) -> UUID:
    row = new_job(store, TENANT)
    rows = [replace(row, custom_id=f"row-{number}") for number in range(count)]
    batch, _ = store.batches.insert(TENANT, rows, None, "")
    with store._engine.begin() as connection:  # noqa: SLF001
        connection.execute(text(FINISH), {"batch": batch.id})
    return batch.id


def _measure(client: Client, batch: str, pid: int) -> None:
    # As in `Batches.follow`, which reads all jobs once and then only what has changed.
    since = next(client.batches._pages(batch, "")).changed_until  # noqa: SLF001

    def further() -> int:
        pages = client.batches._pages(batch, f"&changed_since={since}")  # noqa: SLF001
        return client.batches.get(batch).job_count - sum(len(page.data) for page in pages)

    reads: dict[str, Callable[[], int]] = {
        "the first time, every job": lambda: sum(1 for _ in client.batches.jobs(batch)),
        "each further time, the counts and what changed": further,
        "dubline status, the counts and failed jobs": lambda: (
            client.batches.get(batch).job_count - sum(1 for _ in client.batches.jobs(batch, "failed"))
        ),
    }
    for name, read in reads.items():
        count = read()
        cpu_s, wall_s = zip(*(_cost(read, pid) for _ in range(POLLS)), strict=True)
        print(f"{name} ({count} jobs): processor {fmean(cpu_s):.3f} s, caller {fmean(wall_s):.3f} s")


def _cost(read: Callable[[], int], pid: int) -> tuple[float, float]:
    before_s, started_s = processor_s(pid), time.monotonic()
    read()
    return processor_s(pid) - before_s, time.monotonic() - started_s


if __name__ == "__main__":
    with exit_if_unread():
        main()
