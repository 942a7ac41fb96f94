"""Worker whose renderer makes long jobs of small segments: `python -m benchmarks.chaos.phases.shared_worker`.

Executors, rows, leases, shares and checkpoints are those of `dubline.worker`; a segment takes a fixed time and is one
line of text. A child is forked, see `forked_children`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.phases.forked_children import serve

from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.executors import factory
from dubline.worker.rendering.job import Rendered

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.worker.executors.factory import WorkerContext
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.checkpoints import Checkpoints
    from dubline.worker.rendering.job import RenderJob, Report

#: Enough for three workers.
SEGMENTS: Final = 16
SEGMENT_S: Final = 0.4
STEP_S: Final = 0.05
VERSION: Final = "0" * 64
FINGERPRINT: Final = RenderFingerprint(
    weights_sha256=VERSION, render_batch=1, segment_frames=1, encoder_threads=1, renderer_sha256=VERSION
)


def segment_of(seed: int, number: int) -> bytes:
    """Return the bytes of a segment."""
    return b"segment %d of seed %d\n" % (number, seed)


def video_of(seed: int) -> bytes:
    """Return the bytes of a video."""
    return b"".join(segment_of(seed, number) for number in range(SEGMENTS))


@dataclass(frozen=True)
class SharedRenderer:
    """Renderer that waits for each segment."""

    version: str = VERSION

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Render one job with the help of others."""
        checkpoints.begin(FINGERPRINT)
        report(Stage.SAMPLING, 0.0)
        motion = scratch / "motion"
        if not checkpoints.fetch(CheckpointKind.MOTION, 0, motion):
            motion.write_bytes(b"motion")
            checkpoints.keep(CheckpointKind.MOTION, 0, motion)
        self._render(job, scratch, report, checkpoints)
        parts = []
        for number in range(SEGMENTS):
            path = scratch / str(number)
            if not path.exists() and not checkpoints.fetch(CheckpointKind.SEGMENT, number, path):
                self._make(job, path, number, report)
            parts.append(path.read_bytes())
        video = scratch / "video.mp4"
        video.write_bytes(b"".join(parts))
        return Rendered(path=video, duration_s=job.duration_s)

    def help(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> None:
        """Render segments of another worker's job."""
        checkpoints.begin(FINGERPRINT)
        checkpoints.fetch(CheckpointKind.MOTION, 0, scratch / "motion")
        self._render(job, scratch, report, checkpoints)

    def _render(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> None:
        while True:
            for number in checkpoints.missing(SEGMENTS):
                self._make(job, scratch / str(number), number, report)
                if number + 1 < SEGMENTS:
                    checkpoints.keep(CheckpointKind.SEGMENT, number, scratch / str(number))
                    checkpoints.check()
            if checkpoints.settled(SEGMENTS):
                return

    def _make(self, job: RenderJob, path: Path, number: int, report: Report) -> None:
        until = time.monotonic() + SEGMENT_S
        while time.monotonic() < until:
            report(Stage.RENDERING, 100 * number / SEGMENTS)
            time.sleep(STEP_S)
        path.write_bytes(segment_of(job.options.fixed_seed, number))


def make(context: WorkerContext) -> RenderExecutor:
    """Make the executor of a child."""
    renderer = SharedRenderer()
    return factory.renderer_with(context, renderer, helper=renderer)


if __name__ == "__main__":
    sys.exit(serve(make))
