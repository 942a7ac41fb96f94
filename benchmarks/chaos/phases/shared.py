"""Phase of shared jobs: long jobs that several workers render, with kills of owners and of helpers."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.phases.course import begun
from benchmarks.chaos.phases.digests import digests
from benchmarks.chaos.phases.final_state import await_final_state
from benchmarks.chaos.phases.shared_worker import video_of
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed import media
from benchmarks.chaos.testbed.database_reader import DatabaseReader
from benchmarks.chaos.testbed.processes import kill_process
from benchmarks.chaos.testbed.stall_detector import StallDetector
from benchmarks.chaos.testbed.testbed import Testbed

from dubline.client.calls.jobs import NewJob

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.history import History
    from benchmarks.chaos.testbed.log_reader import LogReader
    from benchmarks.chaos.testbed.sender import Sender

NAME: Final = "shared"
SHARED_WORKER: Final = ("-m", "benchmarks.chaos.phases.shared_worker")
TICK_S: Final = 0.05
STALL_S: Final = 300.0
#: Shortest and longest time between two kills in leases: a killed owner is followed after a lease.
PAUSE: Final = (0.2, 1.2)
HELPER, OWNER = "helper", "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Amounts of a run of this phase."""

    seed: int
    """Seed of jobs and kills."""
    jobs: int
    """Jobs that are sent."""
    kills: int
    """SIGKILLs, of helpers and owners in turn."""
    workers: int = 3
    """Renderers, more than jobs at once, so that some of them help."""
    lease_s: float
    """Duration of a lease."""
    heartbeat_s: float
    """Period of lease renewal."""

    @property
    def environ(self) -> dict[str, str]:
        """Settings of the parts."""
        return {
            "DUBLINE_LEASE_DURATION_S": str(self.lease_s),
            "DUBLINE_LEASE_HEARTBEAT_S": str(self.heartbeat_s),
            "DUBLINE_WORKER_POLL_S": "0.5",
        }


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; all results are in the history.

    Raises:
        EmbeddedError: the stack cannot be started.
        ClientError: the API refused a request that it should accept.
        psycopg.Error: the rows cannot be read at the end.
    """
    history.start_phase(NAME, seed=plan.seed, job_count=plan.jobs, kills=plan.kills, lease_s=plan.lease_s)
    progress = Progress(NAME, plan.jobs)
    with (
        begun(Testbed(SHARED_WORKER, plan.workers, plan.environ), history, progress, folder) as course,
        DatabaseReader(course.testbed.database_url) as database,
    ):
        sender, log_reader = course.sender, course.log_reader
        uploads = sender.upload(media.PORTRAIT, media.speech(folder / "short.wav", 1.0))
        batches: list[str] = []
        killer = _Killer(plan, course.testbed, database, history)
        progress.print("started")
        for number in range(plan.jobs):
            # One at a time, so that other workers are idle.
            batches.append(sender.send([_job(number, *uploads)], f"{NAME}-{number:04}"))
            _kill(killer, log_reader, progress, number + 1)
        await_final_state(database, log_reader, progress)
        progress.print(f"kills: {killer.counts}")
        _compare(sender, batches, history, folder / "video.mp4")


def _job(number: int, portrait: str, speech: str) -> NewJob:
    return NewJob(portrait_upload_id=portrait, speech_upload_id=speech, custom_id=f"{NAME}-{number:04}", seed=number)


class _Killer:
    """Kills a helper or an owner now and then.

    Attributes:
        counts: kills of each role.
    """

    def __init__(self, plan: Plan, testbed: Testbed, database: DatabaseReader, history: History) -> None:
        self._plan, self._testbed, self._database, self._history = plan, testbed, database, history
        self._rng = random.Random(plan.seed)  # noqa: S311 - not for cryptography
        self._next_at = time.monotonic()
        self.counts = {HELPER: 0, OWNER: 0}

    def kill_due(self) -> None:
        """Kill a process of the role that was killed less often, if one is there and the pause is over."""
        if sum(self.counts.values()) >= self._plan.kills or time.monotonic() < self._next_at:
            return
        role = min(self.counts, key=lambda one: self.counts[one])
        held = self._database.held_shares() if role == HELPER else self._database.held_jobs()
        children = {pid for name in self._testbed.workers for pid in self._testbed.children(name)}
        for one in held:
            if one.pid in children and (role == HELPER or one.stage == "rendering"):
                at = time.time()
                if kill_process(one.pid):
                    self.counts[role] += 1
                    self._history.record("killed", at, role=role, pids=[one.pid], id=one.job_id)
                    self._next_at = time.monotonic() + self._plan.lease_s * self._rng.uniform(*PAUSE)
                return


def _kill(killer: _Killer, log_reader: LogReader, progress: Progress, jobs: int) -> None:
    """Kill workers until a number of jobs is finished."""
    stall_detector = StallDetector(STALL_S)
    while log_reader.commits < jobs:
        killer.kill_due()
        time.sleep(TICK_S)
        log_reader.read()
        progress.update(log_reader.commits, f"kills: {killer.counts}")
        stall_detector.observe((log_reader.commits, sum(killer.counts.values())), "a shared job")


def _compare(sender: Sender, batches: list[str], history: History, video: Path) -> None:
    """Fetch all videos and record their digests."""
    for job, digest in digests(sender, batches, video):
        seed = int((job.custom_id or "").rpartition("-")[2])
        expected = hashlib.sha256(video_of(seed)).hexdigest()
        history.record("digest", job=job.custom_id, sha256=digest, expected=expected)
