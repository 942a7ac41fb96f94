"""The phase of the rival: plain Celery, tuned against loss, with tasks as long as light jobs, under the same kills."""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos.celery_baseline.worker import QUEUE, TASK, VISIBILITY_S, create_app
from benchmarks.chaos.faults.schedule import LAST_SHARE, PARENT_KILLS
from benchmarks.chaos.phases.work import work_s
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed.stall_detector import Patience, StalledError
from benchmarks.chaos.testbed.testbed import ROOT, children_of, kill_child

from dubline.embedded import Stack
from dubline.embedded.part import Part
from dubline.embedded.servers.broker import NAME as BROKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.chaos.history import History

NAME: Final = "rival"
TICK_S: Final = 0.05
#: What nobody has begun again for six visibility timeouts is not coming back.
GIVEN_UP_S: Final = 6.0 * VISIBILITY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done."""

    seed: int
    """Of all choices."""
    tasks: int
    """Sent in all."""
    kills: int
    """SIGKILLs of busy workers."""
    workers: int = 4
    """With one child each."""


class _Log:
    """What the workers write, read as it grows."""

    def __init__(self, path: Path, history: History) -> None:
        self.ended: set[str] = set()
        self.running: dict[int, str] = {}
        path.touch()
        self._file = path.open(encoding="utf-8")
        self._history = history
        self._rest = ""

    def look(self) -> None:
        """Read on."""
        for event in self._events():
            self._history.note(event["what"], event["at"], task=event["task"], pid=event["pid"])
            if event["what"] == "task_ended":
                self.ended.add(event["task"])
                self.running.pop(event["pid"], None)
            else:
                self.running[event["pid"]] = event["task"]

    def _events(self) -> Iterator[dict[str, Any]]:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        return map(json.loads, lines)


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; everything that it finds is in the history.

    Args:
        plan: how much is done.
        history: gets every event.
        folder: for the workers' log.

    Raises:
        EmbeddedError: the broker or a worker cannot be started.
    """
    history.begin(NAME, seed=plan.seed, tasks=plan.tasks, kills=plan.kills, visibility_s=VISIBILITY_S)
    progress = Progress(NAME, plan.tasks)
    path = folder / "tasks.jsonl"
    path.unlink(missing_ok=True)
    names = [f"rival-{number}" for number in range(plan.workers)]

    def arrange(parts: tuple[Part, ...]) -> Iterator[Part]:
        yield next(part for part in parts if part.name == BROKER)
        for name in names:
            argv = (sys.executable, "-m", "benchmarks.chaos.celery_baseline.worker", str(path))
            yield Part(name=name, argv=argv, needs=frozenset({BROKER}), is_ready=lambda: True)

    with Stack({"PYTHONPATH": str(ROOT)}, arrange) as stack:
        log = _Log(path, history)
        _send(plan, stack.environ["DUBLINE_BROKER_URL"], history)
        progress.say("all sent")
        try:
            _harm(plan, stack, names, log, history, progress)
            _await(plan, log, progress)
        except StalledError as stalled:
            history.note("stalled", why=str(stalled))
            progress.say(f"{plan.tasks - len(log.ended)} tasks never ended")
        log.look()


def _send(plan: Plan, broker_url: str, history: History) -> None:
    app = create_app(broker_url)
    with app.connection_for_write() as connection:
        for number in range(plan.tasks):
            task = f"{NAME}-{number:06}"
            app.send_task(TASK, (task, work_s(number)), connection=connection, queue=QUEUE)
            history.note("accepted", jobs=[task])
    app.close()


def _harm(  # noqa: PLR0913, PLR0917 - the plan, the target, and who is told
    plan: Plan, stack: Stack, names: list[str], log: _Log, history: History, progress: Progress
) -> None:
    # Nothing depends on its being hard to guess.
    dice = random.Random(plan.seed)  # noqa: S311
    patience = Patience(GIVEN_UP_S)
    due = sorted(dice.uniform(0, LAST_SHARE) for _ in range(plan.kills))
    parents = set(dice.sample(range(plan.kills), max(1, round(PARENT_KILLS * plan.kills))))
    for number, share in enumerate(due):
        while len(log.ended) < share * plan.tasks or not _kill(stack, names, log, history, dice, number in parents):
            time.sleep(TICK_S)
            log.look()
            progress.look(len(log.ended), f"{number} kills")
            patience.look(len(log.ended), "the tasks before the next kill")


def _kill(  # noqa: PLR0913, PLR0917 - as above
    stack: Stack, names: list[str], log: _Log, history: History, dice: random.Random, parent: bool
) -> bool:
    """Kill a child that runs a task, or a parent with its child; tell whether there was one to kill."""
    log.look()
    name = dice.choice(names)
    child = stack.children[name]
    pids = children_of(child.pid)
    if parent:
        history.note("killed", time.time(), role="worker", pids=[child.pid, *pids])
        child.kill()
        stack.restart(name)
        return True
    busy = [pid for pid in pids if pid in log.running]
    at = time.time()
    if not busy or not kill_child(busy[0]):
        return False
    history.note("killed", at, role="child", pids=busy[:1])
    return True


def _await(plan: Plan, log: _Log, progress: Progress) -> None:
    patience = Patience(GIVEN_UP_S)
    while len(log.ended) < plan.tasks:
        time.sleep(TICK_S)
        log.look()
        progress.look(len(log.ended), "waiting for the last")
        patience.look(len(log.ended), "tasks that were sent")
