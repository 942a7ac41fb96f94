"""The scheduler of the maintenance process: runs each periodic task in a thread of its own.

Several processes may run. Each task has an advisory lock in the database, and a run happens only in the process that
holds the lock. A process may be killed at any time, and another one takes over. Between the runs of most tasks nothing
is kept, so the processes make them in turns. The process that runs a task with a memory makes all of its runs.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.errors import DublineError
from dubline.orchestration.maintenance.metrics import RUNS, begin_counts
from dubline.orchestration.maintenance.task_lock import TaskLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dubline.orchestration.database.store import Store

#: Bounds of the wait after a failed run; between them it is the task's period.
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
STOP_TIMEOUT_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicTask:
    """A function that is called periodically, by one process at a time."""

    name: str
    """Name in the log."""
    lock: int
    """Number of its advisory lock; unique among tasks."""
    period_s: float
    """Seconds between two runs."""
    delay_s: float = 0.0
    """Seconds before the first run."""
    limit_s: float = 600.0
    """The process counts as hanging while a run takes longer than this."""
    due: Callable[[], bool] = lambda: True
    """Whether a run would do anything; asked before each one without the lock. A run that is not due has succeeded."""
    run: Callable[[], object]
    """One run; idempotent, and safe to interrupt."""
    memory: Callable[[], AbstractContextManager[object]] | None = None
    """Entered when the process gets the lock, to begin without a memory of earlier runs, and left when it loses it. The
    lock is then kept between runs. None: runs depend on no earlier ones, and the lock is released after each."""


@contextmanager
def running(store: Store, tasks: Sequence[PeriodicTask], liveness: Path | None = None) -> Iterator[None]:
    """Run every task periodically, each in a thread of its own, until the block ends.

    At the end a run may take `STOP_TIMEOUT_S` more. A run that takes longer is abandoned with its daemon thread.

    Args:
        store: the database.
        tasks: the tasks.
        liveness: a file that is touched after each run of a task, also after a failed one, while no task hangs;
            None: no file.
    """
    stop, progress = Event(), Progress(tasks, liveness)
    threads = [Thread(target=_loop, args=(store, task, stop, progress), name=task.name, daemon=True) for task in tasks]
    begin_counts(task.name for task in tasks)
    # Logged first: a task may fail, and log that, as soon as its thread runs.
    _log.info("maintenance_started", tasks=[task.name for task in tasks])
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        deadline = monotonic() + STOP_TIMEOUT_S
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        _log.info("maintenance_stopped", hanging=[thread.name for thread in threads if thread.is_alive()])


class Progress:
    """What each task is due to have finished; shared by their threads.

    Args:
        tasks: the tasks, which begin now.
        file: touched after each run while no task is overdue; None: no file.
    """

    def __init__(self, tasks: Sequence[PeriodicTask], file: Path | None) -> None:
        self._file = file
        self._due_s = {task.name: monotonic() + task.delay_s + task.limit_s for task in tasks}

    def made(self, task: PeriodicTask, pause_s: float) -> None:
        """Note that a run has ended, and that the next one begins after a pause in seconds."""
        now_s = monotonic()
        self._due_s[task.name] = now_s + pause_s + task.limit_s
        if self._file is not None and min(self._due_s.values()) > now_s:
            with suppress(OSError):
                self._file.touch()


def _loop(store: Store, task: PeriodicTask, stop: Event, progress: Progress) -> None:
    failure = ""
    stop.wait(task.delay_s)
    # At the end the database may be unavailable; it releases the lock by itself.
    with suppress(DublineError), TaskLock(store, task) as lock:
        while not stop.is_set():
            previous, failure = failure, _run_once(lock, task, failure)
            if previous and not failure:
                _log.info("task_recovered", task=task.name)
            pause_s = min(max(task.period_s, RETRY_MIN_S), RETRY_MAX_S) if failure else task.period_s
            progress.made(task, pause_s)
            stop.wait(pause_s)


def _run_once(lock: TaskLock, task: PeriodicTask, previous: str) -> str:
    """Run a task once and catch every exception.

    A failure with the same code as the previous one is not logged again, so that an hour's outage is one line.

    Returns:
        The error code or the exception's name; empty after a success.
    """
    try:
        if not task.due() or lock.run():
            RUNS.labels(task.name, "succeeded").inc()
    except DublineError as error:
        RUNS.labels(task.name, "failed").inc()
        if error.code != previous:
            _log.warning("task_failed", task=task.name, code=error.code, reason=repr(error.__cause__))
        return error.code
    except Exception as error:  # noqa: BLE001 - a bug in one task must not end it or affect the others
        RUNS.labels(task.name, "failed").inc()
        name = type(error).__name__
        if name != previous:
            _log.exception("task_crashed", task=task.name)
        return name
    return ""
