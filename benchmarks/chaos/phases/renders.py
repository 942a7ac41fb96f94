"""Phase of real renders: TINY on the real pipeline, killed within segments; the videos are compared byte by byte."""

from __future__ import annotations

import math
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.faults.injector import SPARED_ATTEMPT
from benchmarks.chaos.phases.course import begun
from benchmarks.chaos.phases.digests import digests
from benchmarks.chaos.phases.final_state import await_final_state
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed import media
from benchmarks.chaos.testbed.database_reader import DatabaseReader, HeldJob
from benchmarks.chaos.testbed.processes import kill_process
from benchmarks.chaos.testbed.stall_detector import StallDetector
from benchmarks.chaos.testbed.testbed import REAL_WORKER, Testbed

from dubline.client.calls.jobs import NewJob

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.history import History
    from benchmarks.chaos.testbed.log_reader import LogReader
    from benchmarks.chaos.testbed.sender import Sender

#: The part of a video's mark that differs between jobs of equal inputs; its length is constant.
JOB_OF_MARK: Final = re.compile(rb"accepted=\S{20} job=[0-9a-f-]{36}")
NAME: Final = "render"
#: Different videos. Each is rendered once without a fault and compared with all renders that were killed.
VIDEOS: Final = 4
#: Highest percentage at which a kill is aimed. Rendering ends at 95 % and a worker writes its progress once a second,
#: so that a higher aim would come too late.
LAST_PERCENT: Final = 84.0
TICK_S: Final = 0.05
STALL_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Amounts of a run of this phase."""

    seed: int
    """Seed of all random choices."""
    kills: int
    """SIGKILLs within segments, two per job."""
    workers: int = 2
    """Renderers."""
    speech_s: float = 14.0
    """Length of the speech; three segments have 14.4 s."""

    @property
    def jobs(self) -> int:
        """Jobs under kills: a quarter more than `kills / 2`, because some jobs finish before their second kill."""
        return math.ceil(self.kills / 2 * 1.25) + 1

    @property
    def videos(self) -> int:
        """Number of different videos."""
        return min(VIDEOS, self.jobs)


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; all results are in the history.

    Args:
        plan: amounts.
        history: receives the events.
        folder: receives the speech file, a video at a time and the logs.

    Raises:
        EmbeddedError: the stack cannot be started.
        ClientError: the API refused a request that it should accept.
        psycopg.Error: the rows cannot be read at the end.
    """
    history.start_phase(NAME, seed=plan.seed, job_count=plan.jobs + plan.videos, kills=plan.kills)
    progress = Progress(NAME, plan.jobs + plan.videos)
    with (
        begun(Testbed(REAL_WORKER, plan.workers, {}), history, progress, folder) as course,
        DatabaseReader(course.testbed.database_url) as database,
    ):
        sender, log_reader = course.sender, course.log_reader
        uploads = sender.upload(media.PORTRAIT, media.speech(folder / "long.wav", plan.speech_s))
        progress.print("started")
        batches = [sender.send(_jobs("uninterrupted", plan.videos, *uploads), "uninterrupted")]
        await_final_state(database, log_reader, progress)
        batches.append(sender.send(_jobs("killed", plan.jobs, *uploads), "killed"))
        killer = _RenderKiller(plan, course.testbed, database, history)
        _kill_renders(plan, killer, log_reader, progress)
        await_final_state(database, log_reader, progress)
        _compare(sender, batches, history, folder / "video.mp4")


def _jobs(prefix: str, count: int, portrait: str, speech: str) -> list[NewJob]:
    return [
        NewJob(
            portrait_upload_id=portrait,
            speech_upload_id=speech,
            custom_id=f"{prefix}-{number:04}",
            preset="tiny",
            seed=number % VIDEOS,
        )
        for number in range(count)
    ]


class _RenderKiller:
    """Kills a worker when its attempt reaches a percentage that is drawn per attempt.

    Attributes:
        kills: workers that were killed.
        held: jobs that were held at the last query.
    """

    def __init__(self, plan: Plan, testbed: Testbed, database: DatabaseReader, history: History) -> None:
        self._rng = random.Random(plan.seed)  # noqa: S311 - not for cryptography
        self._aims: dict[tuple[str, int], float] = {}
        self._testbed, self._database, self._history = testbed, database, history
        self.kills = 0
        self.held: tuple[HeldJob, ...] = ()

    def kill_due(self) -> None:
        """Kill at most one worker whose attempt has reached its percentage."""
        children = {pid for name in self._testbed.workers for pid in self._testbed.children(name)}
        self.held = self._database.held_jobs()
        for held in self.held:
            if held.pid in children and self._is_due(held):
                at = time.time()
                if kill_process(held.pid):
                    self._record(held, at)
                return

    def _is_due(self, held: HeldJob) -> bool:
        if held.stage != "rendering" or held.attempt >= SPARED_ATTEMPT:
            return False
        key = held.job_id, held.attempt
        drawn = self._rng.uniform(min(held.percent, LAST_PERCENT), LAST_PERCENT)
        return held.percent >= self._aims.setdefault(key, drawn)

    def _record(self, held: HeldJob, at: float) -> None:
        self.kills += 1
        self._history.record("killed", at, role="child", pids=[held.pid], id=held.job_id, percent=held.percent)
        for saved_at in self._database.checkpoints(held):
            self._history.record("checkpoint_saved", saved_at, id=held.job_id, attempt=held.attempt)


def _kill_renders(plan: Plan, killer: _RenderKiller, log_reader: LogReader, progress: Progress) -> None:
    """Kill workers until the planned kills are done or no job is left."""
    stall_detector = StallDetector(STALL_S)
    while killer.kills < plan.kills and log_reader.commits < plan.jobs + plan.videos:
        killer.kill_due()
        time.sleep(TICK_S)
        log_reader.read()
        progress.update(log_reader.commits, f"{killer.kills} kills")
        stall_detector.observe((log_reader.commits, killer.held), "a render to kill")


def _compare(sender: Sender, batches: list[str], history: History, video: Path) -> None:
    """Fetch all videos and record their digests; the first batch gives the expected digest of each seed."""
    expected_of: dict[int, str] = {}
    for job, digest in digests(sender, batches, video, lambda data: JOB_OF_MARK.sub(b"", data)):
        if job.state == "succeeded":
            expected = expected_of.setdefault(_seed(job.custom_id), digest)
            history.record("digest", job=job.custom_id, sha256=digest, expected=expected)


def _seed(custom_id: str | None) -> int:
    return int((custom_id or "").rpartition("-")[2]) % VIDEOS
