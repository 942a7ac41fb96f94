"""Phase of light jobs: the real service with a renderer that takes milliseconds, under every fault."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.faults.injector import FaultInjector
from benchmarks.chaos.faults.schedule import schedule
from benchmarks.chaos.phases.course import begun
from benchmarks.chaos.phases.final_state import await_final_state
from benchmarks.chaos.phases.job_duration import DURATION_FACTOR
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed import media
from benchmarks.chaos.testbed.database_reader import DatabaseReader
from benchmarks.chaos.testbed.disk import small_disk
from benchmarks.chaos.testbed.stall_detector import StallDetector
from benchmarks.chaos.testbed.testbed import Testbed

from dubline.client.calls.jobs import NewJob

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.history import History
    from benchmarks.chaos.testbed.log_reader import LogReader
    from benchmarks.chaos.testbed.sender import Sender

NAME: Final = "light"
LIGHT_WORKER: Final = ("-m", "benchmarks.chaos.phases.light_worker")
TICK_S: Final = 0.05
STALL_S: Final = 300.0
#: Batches that are sent ahead of the finished jobs, so that the API receives requests for as long as faults last.
BACKLOG_BATCHES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Amounts of a run of this phase."""

    seed: int
    """Seed of jobs and faults."""
    jobs: int
    """Jobs that are sent."""
    kills: int
    """SIGKILLs."""
    rounds: int
    """Injections of each fault that is not a kill."""
    workers: int = 10
    """Renderers, with one child each."""
    batch: int = 1000
    """Jobs of one request."""
    fault_s: tuple[float, float] = (2.0, 6.0)
    """Shortest and longest duration of faults that last."""
    lease_s: float
    """Duration of a lease."""
    heartbeat_s: float
    """Period of lease renewal."""
    preference_s: float = 2.5
    """How long a kill waits for a preferred target; see `FaultInjector`."""
    duration_factor: float = 1.0
    """Makes jobs longer, for plans with few jobs and many kills."""

    @property
    def environ(self) -> dict[str, str]:
        """Settings of the parts."""
        return {
            "DUBLINE_LEASE_DURATION_S": str(self.lease_s),
            "DUBLINE_LEASE_HEARTBEAT_S": str(self.heartbeat_s),
            DURATION_FACTOR: str(self.duration_factor),
        }

    def injector(self, testbed: Testbed, history: History, disk: Path | None) -> FaultInjector:
        """Return the fault injector of this plan."""
        return FaultInjector(
            testbed, history, seed=self.seed, lease_s=self.lease_s, preference_s=self.preference_s, disk=disk
        )


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; all results are in the history.

    Args:
        plan: amounts.
        history: receives the events.
        folder: receives the speech file and the logs.

    Raises:
        EmbeddedError: the stack cannot be started, or a part cannot be restarted.
        ClientError: the API refused a request that it should accept.
        psycopg.Error: the rows cannot be read at the end.
    """
    history.start_phase(NAME, seed=plan.seed, job_count=plan.jobs, kills=plan.kills, lease_s=plan.lease_s)
    progress = Progress(NAME, plan.jobs)
    with (
        small_disk() as disk,
        begun(Testbed(LIGHT_WORKER, plan.workers, plan.environ, disk), history, progress, folder) as course,
    ):
        sender = course.sender
        uploads = sender.upload(media.PORTRAIT, media.speech(folder / "short.wav", 1.0))
        sender.send_all(_batches(plan, *uploads), NAME)
        progress.print("started")
        with (
            plan.injector(course.testbed, history, disk) as injector,
            DatabaseReader(course.testbed.database_url) as database,
        ):
            _inject_faults(plan, sender, injector, course.log_reader, progress)
            await_final_state(database, course.log_reader, progress, lambda: injector.busy or sender.busy)


def _batches(plan: Plan, portrait: str, speech: str) -> list[list[NewJob]]:
    jobs = [
        NewJob(portrait_upload_id=portrait, speech_upload_id=speech, custom_id=f"{NAME}-{number:06}", seed=number)
        for number in range(plan.jobs)
    ]
    return [jobs[start : start + plan.batch] for start in range(0, plan.jobs, plan.batch)]


def _inject_faults(
    plan: Plan, sender: Sender, injector: FaultInjector, log_reader: LogReader, progress: Progress
) -> None:
    """Carry out the schedule.

    A fault is due when its share of the jobs is finished. Jobs are sent only a backlog ahead, so that every fault
    hits a running service.
    """
    stall_detector = StallDetector(STALL_S)
    backlog = BACKLOG_BATCHES * plan.batch
    for done, fault in enumerate(schedule(plan.seed, plan.kills, plan.rounds, plan.fault_s)):
        due = fault.due * plan.jobs
        while log_reader.commits < due or not injector.inject(fault):
            sender.limit = round(min(due, log_reader.commits) + backlog)
            time.sleep(TICK_S)
            log_reader.read()
            progress.update(log_reader.commits, f"{done} faults")
            stall_detector.observe((log_reader.commits, done), f"{due:.0f} jobs or {fault.kind}")
            sender.raise_failure()
            injector.raise_failure()
    sender.limit = plan.jobs
