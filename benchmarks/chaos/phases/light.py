"""The phase of light jobs: the real service at full rate, with a renderer of a few milliseconds, under every fault."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.faults.injector import Havoc
from benchmarks.chaos.faults.schedule import schedule
from benchmarks.chaos.phases.final_state import await_ends, keeping_logs, write_ends
from benchmarks.chaos.phases.work import STRETCH
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed import media
from benchmarks.chaos.testbed.disk import small_disk
from benchmarks.chaos.testbed.rows import Rows
from benchmarks.chaos.testbed.sender import Sender
from benchmarks.chaos.testbed.stall_detector import Patience, StalledError
from benchmarks.chaos.testbed.testbed import Rig
from benchmarks.chaos.testbed.watch import Watch

from dubline.client.calls.jobs import NewJob

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.history import History

NAME: Final = "light"
LIGHT_WORKER: Final = ("-m", "benchmarks.chaos.phases.light_worker")
TICK_S: Final = 0.05
STALL_S: Final = 300.0
#: Jobs are sent as they are done, so that the API works under faults as long as the workers do.
BACKLOG_BATCHES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done."""

    seed: int
    """Of jobs and faults."""
    jobs: int
    """Accepted in all."""
    kills: int
    """SIGKILLs."""
    each: int
    """How often every other fault comes."""
    workers: int = 10
    """Renderers, with one child each."""
    batch: int = 1000
    """Jobs sent in one call."""
    spell_s: tuple[float, float] = (2.0, 6.0)
    """Shortest and longest spell of a fault that lasts."""
    lease_s: float
    """How long a lease lasts."""
    heartbeat_s: float
    """How often it is renewed."""
    stretch: float = 1.0
    """Makes the work of each job longer, where there are few jobs for many kills."""

    @property
    def environ(self) -> dict[str, str]:
        """Settings of the parts."""
        return {
            "DUBLINE_LEASE_DURATION_S": str(self.lease_s),
            "DUBLINE_LEASE_HEARTBEAT_S": str(self.heartbeat_s),
            STRETCH: str(self.stretch),
        }


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; everything that it finds is in the history.

    Args:
        plan: how much is done.
        history: gets every event.
        folder: for files that are sent.

    Raises:
        EmbeddedError: the stack cannot be started, or a part does not come back.
        ClientError: the API refuses what it should accept.
        psycopg.Error: the rows cannot be read at the end.
    """
    history.begin(NAME, seed=plan.seed, jobs=plan.jobs, kills=plan.kills, lease_s=plan.lease_s)
    progress = Progress(NAME, plan.jobs)
    with (
        small_disk() as disk,
        Rig(LIGHT_WORKER, plan.workers, plan.environ, disk) as rig,
        keeping_logs(rig, folder / "logs"),
        Sender(rig.stack.url, rig.stack.key, history) as sender,
    ):
        watch = Watch(rig.logs().values(), history)
        sender.send_all(_batches(plan, *sender.upload(media.PORTRAIT, media.speech(folder / "short.wav", 1.0))), NAME)
        progress.say("started")
        try:
            with Havoc(rig, history, plan.seed, plan.lease_s, disk) as havoc, Rows(rig.database_url) as rows:
                _harm(plan, sender, havoc, watch, progress)
                await_ends(rows, watch, progress, lambda: havoc.busy or sender.busy)
        except StalledError as stalled:
            history.note("stalled", why=str(stalled))
            progress.say(str(stalled))
        watch.look()
        write_ends(rig, history)
        progress.say(f"{watch.commits} videos published")


def _batches(plan: Plan, portrait: str, speech: str) -> list[list[NewJob]]:
    jobs = [
        NewJob(portrait_upload_id=portrait, speech_upload_id=speech, custom_id=f"{NAME}-{number:06}", seed=number)
        for number in range(plan.jobs)
    ]
    return [jobs[start : start + plan.batch] for start in range(0, plan.jobs, plan.batch)]


def _harm(plan: Plan, sender: Sender, havoc: Havoc, watch: Watch, progress: Progress) -> None:
    """Carry out the schedule: a fault is due when its share of the jobs is done, and jobs wait for their faults."""
    patience = Patience(STALL_S)
    backlog = BACKLOG_BATCHES * plan.batch
    for done, fault in enumerate(schedule(plan.seed, plan.kills, plan.each, plan.spell_s)):
        due = fault.due * plan.jobs
        while watch.commits < due or not havoc.do(fault):
            sender.limit = round(min(due, watch.commits) + backlog)
            time.sleep(TICK_S)
            watch.look()
            progress.look(watch.commits, f"{done} faults")
            patience.look((watch.commits, done), f"{due:.0f} jobs or {fault.kind}")
            sender.look()
            havoc.look()
    sender.limit = plan.jobs
