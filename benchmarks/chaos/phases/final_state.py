"""Final state of a phase: waits until all jobs are final, then records their rows and stored videos."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.testbed.database_reader import DatabaseReader
from benchmarks.chaos.testbed.stall_detector import StallDetector

from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.chaos.history import History
    from benchmarks.chaos.progress import Progress
    from benchmarks.chaos.testbed.log_reader import LogReader
    from benchmarks.chaos.testbed.testbed import Testbed

#: More than the longest backoff between two attempts (150 s) and the lease after it.
STALL_S: Final = 300.0
POLL_S: Final = 0.5


def await_final_state(
    database: DatabaseReader, log_reader: LogReader, progress: Progress, busy: Callable[[], bool] = lambda: False
) -> None:
    """Wait until all jobs are final.

    Args:
        database: has the jobs.
        log_reader: counts the published videos.
        progress: prints the progress.
        busy: tells whether jobs are still to be sent or faults in progress; may raise.

    Raises:
        StalledError: nothing has changed for five minutes.
    """
    stall_detector = StallDetector(STALL_S)
    while (unfinished := database.unfinished()) is None or unfinished[0] or busy():
        time.sleep(POLL_S)
        log_reader.read()
        progress.update(log_reader.commits, "waiting for the last jobs")
        stall_detector.observe((log_reader.commits, unfinished), "the last jobs")


def record_final_state(testbed: Testbed, history: History) -> None:
    """Record the row of every job, with the length of its video in the bucket.

    Raises:
        psycopg.Error: the database is unavailable.
        StorageUnavailableError: the bucket is unavailable.
    """
    environ = testbed.stack.environ
    names = ("name", "region", "endpoint_url", "access_key", "secret_key")
    settings = BucketSettings.model_validate({name: environ[f"DUBLINE_BUCKET_{name.upper()}"] for name in names})
    stored = {one.key: one.size_bytes for one in Objects(settings).list("results/")}
    with DatabaseReader(testbed.database_url) as database:
        for row in database.final_rows():
            history.record("row", **row, stored_bytes=stored.get(row["result_key"]))


@contextmanager
def saved_logs(testbed: Testbed, folder: Path) -> Iterator[None]:
    """Copy the logs of all parts when the block ends, because the stack deletes them."""
    try:
        yield
    finally:
        shutil.copytree(testbed.stack.logs, folder, dirs_exist_ok=True)
