"""The end of a phase: wait until every job is final, then write down all rows and what the bucket holds of them."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.testbed.rows import Rows
from benchmarks.chaos.testbed.stall_detector import Patience

from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.chaos.history import History
    from benchmarks.chaos.progress import Progress
    from benchmarks.chaos.testbed.testbed import Rig
    from benchmarks.chaos.testbed.watch import Watch

#: More than the longest pause between two attempts (150 s) and a lease after it.
STALL_S: Final = 300.0
LOOK_S: Final = 0.5


def await_ends(rows: Rows, watch: Watch, progress: Progress, busy: Callable[[], bool] = lambda: False) -> None:
    """Wait until all jobs are final.

    Args:
        rows: of the jobs.
        watch: counts what workers publish.
        progress: says how far it is.
        busy: whether jobs or faults are still to come; may raise.

    Raises:
        StalledError: nothing has moved for five minutes.
    """
    patience = Patience(STALL_S)
    while (unfinished := rows.unfinished()) is None or unfinished[0] or busy():
        time.sleep(LOOK_S)
        watch.look()
        progress.look(watch.commits, "waiting for the last")
        patience.look((watch.commits, unfinished), "the last jobs")


def write_ends(rig: Rig, history: History) -> None:
    """Write every job's row, with the length of its video in the bucket, into the history.

    Raises:
        psycopg.Error: the database does not answer.
        StorageUnavailableError: the bucket does not.
    """
    environ = rig.stack.environ
    names = ("name", "region", "endpoint_url", "access_key", "secret_key")
    settings = BucketSettings.model_validate({name: environ[f"DUBLINE_BUCKET_{name.upper()}"] for name in names})
    stored = {one.key: one.size_bytes for one in Objects(settings).list("results/")}
    with Rows(rig.database_url) as rows:
        for row in rows.ends():
            history.note("row", **row, stored_bytes=stored.get(row["result_key"]))


@contextmanager
def keeping_logs(rig: Rig, folder: Path) -> Iterator[None]:
    """Copy what the parts logged, however the block ends, before the stack takes it along."""
    try:
        yield
    finally:
        shutil.copytree(rig.stack.logs, folder, dirs_exist_ok=True)
