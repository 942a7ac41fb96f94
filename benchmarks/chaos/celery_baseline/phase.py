"""Phase of the Celery baseline: plain Celery, configured against loss, with tasks as long as light jobs."""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos.celery_baseline.worker import QUEUE, TASK, VISIBILITY_TIMEOUT_S, create_app
from benchmarks.chaos.faults.schedule import LAST_SHARE, WORKER_KILLS
from benchmarks.chaos.phases.job_duration import job_duration_s
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed.processes import children_of, kill_process
from benchmarks.chaos.testbed.stall_detector import StallDetector, StalledError
from benchmarks.chaos.testbed.testbed import ROOT

from dubline.embedded import Stack
from dubline.embedded.part import Part
from dubline.embedded.servers.broker import NAME as BROKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.chaos.history import History

NAME: Final = "celery"
TICK_S: Final = 0.05
#: A task that was not started again within six visibility timeouts counts as lost.
STALL_S: Final = 6.0 * VISIBILITY_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Amounts of a run of this phase."""

    seed: int
    """Seed of all random choices."""
    tasks: int
    """Tasks that are sent."""
    kills: int
    """SIGKILLs of busy workers."""
    workers: int = 4
    """Workers, with one child each."""


class _TaskLog:
    """Reads the growing log of the workers."""

    def __init__(self, path: Path, history: History) -> None:
        self.finished: set[str] = set()
        self.running: dict[int, str] = {}
        path.touch()
        self._file = path.open(encoding="utf-8")
        self._history = history
        self._rest = ""

    def read(self) -> None:
        """Read the lines appended since the last call."""
        for event in self._events():
            self._history.record(event["what"], event["at"], task=event["task"], pid=event["pid"])
            if event["what"] == "task_finished":
                self.finished.add(event["task"])
                self.running.pop(event["pid"], None)
            else:
                self.running[event["pid"]] = event["task"]

    def _events(self) -> Iterator[dict[str, Any]]:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        return map(json.loads, lines)


class _WorkerKiller:
    """Kills workers of the stack, chosen at random."""

    def __init__(self, plan: Plan, stack: Stack, names: list[str], log: _TaskLog, history: History) -> None:
        self._rng = random.Random(plan.seed)  # noqa: S311 - not for cryptography
        self._stack, self._names, self._log, self._history = stack, names, log, history
        self.due = sorted(self._rng.uniform(0, LAST_SHARE) for _ in range(plan.kills))
        self._parents = set(self._rng.sample(range(plan.kills), max(1, round(WORKER_KILLS * plan.kills))))

    def kill(self, number: int) -> bool:
        """Kill a child that runs a task, or a parent with its child; return whether a process was killed."""
        self._log.read()
        name = self._rng.choice(self._names)
        worker = self._stack.children[name]
        pids = children_of(worker.pid)
        if number in self._parents:
            self._history.record("killed", time.time(), role="worker", pids=[worker.pid, *pids])
            worker.kill()
            self._stack.restart(name)
            return True
        busy = [pid for pid in pids if pid in self._log.running]
        at = time.time()
        if not busy or not kill_process(busy[0]):
            return False
        self._history.record("killed", at, role="child", pids=busy[:1])
        return True


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; all results are in the history.

    Args:
        plan: amounts.
        history: receives the events.
        folder: receives the log of the workers.

    Raises:
        EmbeddedError: the broker or a worker cannot be started.
    """
    history.start_phase(
        NAME, seed=plan.seed, tasks=plan.tasks, kills=plan.kills, visibility_timeout_s=VISIBILITY_TIMEOUT_S
    )
    progress = Progress(NAME, plan.tasks)
    path = folder / "tasks.jsonl"
    path.unlink(missing_ok=True)
    names = [f"celery-{number}" for number in range(plan.workers)]

    def arrange(parts: tuple[Part, ...]) -> Iterator[Part]:
        yield next(part for part in parts if part.name == BROKER)
        for name in names:
            argv = (sys.executable, "-m", "benchmarks.chaos.celery_baseline.worker", str(path))
            yield Part(name=name, argv=argv, needs=frozenset({BROKER}), is_ready=lambda: True)

    with Stack({"PYTHONPATH": str(ROOT)}, arrange) as stack:
        log = _TaskLog(path, history)
        _send(plan, stack.environ["DUBLINE_BROKER_URL"], history)
        progress.print("all tasks sent")
        try:
            _kill_workers(plan, _WorkerKiller(plan, stack, names, log, history), log, progress)
            _await_tasks(plan, log, progress)
        except StalledError as stalled:
            history.record("stalled", reason=str(stalled))
            progress.print(f"{plan.tasks - len(log.finished)} tasks never finished")
        log.read()


def _send(plan: Plan, broker_url: str, history: History) -> None:
    app = create_app(broker_url)
    with app.connection_for_write() as connection:
        for number in range(plan.tasks):
            task = f"{NAME}-{number:06}"
            app.send_task(TASK, (task, job_duration_s(number)), connection=connection, queue=QUEUE)
            history.record("accepted", jobs=[task])
    app.close()


def _kill_workers(plan: Plan, killer: _WorkerKiller, log: _TaskLog, progress: Progress) -> None:
    stall_detector = StallDetector(STALL_S)
    for number, share in enumerate(killer.due):
        while len(log.finished) < share * plan.tasks or not killer.kill(number):
            time.sleep(TICK_S)
            log.read()
            progress.update(len(log.finished), f"{number} kills")
            stall_detector.observe(len(log.finished), "the tasks before the next kill")


def _await_tasks(plan: Plan, log: _TaskLog, progress: Progress) -> None:
    stall_detector = StallDetector(STALL_S)
    while len(log.finished) < plan.tasks:
        time.sleep(TICK_S)
        log.read()
        progress.update(len(log.finished), "waiting for the last tasks")
        stall_detector.observe(len(log.finished), "the last tasks")
