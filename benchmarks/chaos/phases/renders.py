"""The phase of real renders: TINY on the real pipeline, killed in the middle of its segments, bytes compared."""

from __future__ import annotations

import hashlib
import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.faults.injector import SPARED_ATTEMPT
from benchmarks.chaos.phases.final_state import await_ends, keeping_logs, write_ends
from benchmarks.chaos.progress import Progress
from benchmarks.chaos.testbed import media
from benchmarks.chaos.testbed.rows import Held, Rows
from benchmarks.chaos.testbed.sender import Sender
from benchmarks.chaos.testbed.stall_detector import Patience, StalledError
from benchmarks.chaos.testbed.testbed import REAL_WORKER, Rig, kill_child
from benchmarks.chaos.testbed.watch import Watch

from dubline.client.calls.jobs import NewJob
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.history import History

NAME: Final = "render"
#: Different videos; each is made once without a fault and compared with all that were killed.
VIDEOS: Final = 4
#: Rendering ends at 95 %, and a worker writes its percents once a second: what is aimed higher comes too late.
LAST_PERCENT: Final = 84.0
TICK_S: Final = 0.05
STALL_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done."""

    seed: int
    """Of all choices."""
    kills: int
    """SIGKILLs in the middle of segments, two for each job."""
    workers: int = 2
    """Renderers."""
    speech_s: float = 14.0
    """Of each job; three segments take 14.4 s."""

    @property
    def jobs(self) -> int:
        """Jobs under kills; some end before their second one comes, so there are more than the kills need."""
        return math.ceil(self.kills / 2 * 1.25) + 1

    @property
    def videos(self) -> int:
        """Different videos."""
        return min(VIDEOS, self.jobs)


def run(plan: Plan, history: History, folder: Path) -> None:
    """Run the phase; everything that it finds is in the history.

    Args:
        plan: how much is done.
        history: gets every event.
        folder: for files that are sent and fetched.

    Raises:
        EmbeddedError: the stack cannot be started.
        ClientError: the API refuses what it should accept.
        psycopg.Error: the rows cannot be read at the end.
    """
    history.begin(NAME, seed=plan.seed, jobs=plan.jobs + plan.videos, kills=plan.kills)
    progress = Progress(NAME, plan.jobs + plan.videos)
    with (
        Rig(REAL_WORKER, plan.workers, {}) as rig,
        keeping_logs(rig, folder / "logs"),
        Sender(rig.stack.url, rig.stack.key, history) as sender,
        Rows(rig.database_url) as rows,
    ):
        watch = Watch(rig.logs().values(), history)
        uploads = sender.upload(media.PORTRAIT, media.speech(folder / "long.wav", plan.speech_s))
        progress.say("started")
        try:
            batches = [sender.send(_jobs("whole", plan.videos, *uploads), "whole")]
            await_ends(rows, watch, progress)
            batches.append(sender.send(_jobs("killed", plan.jobs, *uploads), "killed"))
            target = _Target(plan, rig, rows, history)
            _harm(plan, target, watch, progress)
            await_ends(rows, watch, progress)
            _compare(sender, batches, history, folder / "video.mp4")
        except StalledError as stalled:
            history.note("stalled", why=str(stalled))
            progress.say(str(stalled))
        watch.look()
        write_ends(rig, history)
        progress.say(f"{watch.commits} videos published")


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


class _Target:
    """Workers that are hit when their attempt has come as far as was drawn for it.

    Attributes:
        kills: how many were hit.
        held: what they held at the last look.
    """

    def __init__(self, plan: Plan, rig: Rig, rows: Rows, history: History) -> None:
        # Nothing depends on its being hard to guess.
        self._dice = random.Random(plan.seed)  # noqa: S311
        self._aims: dict[tuple[str, int], float] = {}
        self._rig, self._rows, self._history = rig, rows, history
        self.kills = 0
        self.held: tuple[Held, ...] = ()

    def hit(self) -> None:
        """Kill who is due, at most one."""
        children = {pid for name in self._rig.workers for pid in self._rig.children(name)}
        self.held = self._rows.held()
        for held in self.held:
            if held.pid in children and self._is_due(held):
                at = time.time()
                if kill_child(held.pid):
                    self._note(held, at)
                return

    def _is_due(self, held: Held) -> bool:
        if held.stage != "rendering" or held.attempt >= SPARED_ATTEMPT:
            return False
        key = held.job_id, held.attempt
        drawn = self._dice.uniform(min(held.percent, LAST_PERCENT), LAST_PERCENT)
        return held.percent >= self._aims.setdefault(key, drawn)

    def _note(self, held: Held, at: float) -> None:
        self.kills += 1
        self._history.note("killed", at, role="child", pids=[held.pid], id=held.job_id, percent=held.percent)
        for kept_at in self._rows.kept(held):
            self._history.note("piece_kept", kept_at, id=held.job_id, attempt=held.attempt)


def _harm(plan: Plan, target: _Target, watch: Watch, progress: Progress) -> None:
    """Hit workers until there were enough kills, or no job is left."""
    patience = Patience(STALL_S)
    while target.kills < plan.kills and watch.commits < plan.jobs + plan.videos:
        target.hit()
        time.sleep(TICK_S)
        watch.look()
        progress.look(watch.commits, f"{target.kills} kills")
        patience.look((watch.commits, target.held), "a render to kill")


def _compare(sender: Sender, batches: list[str], history: History, video: Path) -> None:
    """Fetch all videos; those of the first batch are what the others of the same seed must be."""
    whole: dict[int, str] = {}
    for job in (job for batch in batches for job in sender.client.batches.jobs(batch)):
        if job.state == "succeeded":
            digest = _digest(sender, job.id, video)
            expected = whole.setdefault(_seed(job.custom_id), digest)
            history.note("digest", job=job.custom_id, sha256=digest, expected=expected)
    video.unlink(missing_ok=True)


def _digest(sender: Sender, job_id: str, video: Path) -> str:
    try:
        sender.client.jobs.download(job_id, video)
    except ClientError as error:
        return f"not fetched: {error}"
    return hashlib.sha256(video.read_bytes()).hexdigest()


def _seed(custom_id: str | None) -> int:
    return int((custom_id or "").rpartition("-")[2]) % VIDEOS
