"""A worker process without networks, with the real loop, heartbeat, database and bucket.

Segment n ends once the folder in the variable GATES contains a file `n`. A job with the seed
`POISON` kills its process; in the first attempt at a job with the seed `BROKEN` the device fails. While the folder
contains a file `sick`, everything fails; while it contains a file `held`, no child begins to work. The variable POD
names the host, as in a container.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chaos.phases import forked_children

from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import DeviceFailedError
from dubline.orchestration.domain.jobs import Stage
from dubline.orchestration.domain.quarantine import quarantine_s
from dubline.worker.executors import factory
from dubline.worker.rendering.job import Rendered, RenderJob, Report
from dubline.worker.runtime import supervisor

if TYPE_CHECKING:
    from dubline.worker.executors.factory import WorkerContext
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.checkpoints import Checkpoints

POISON, BROKEN = 13, 14
SEGMENTS = 3
FINGERPRINT = RenderFingerprint(
    weights_sha256="1" * 64, render_batch=1, segment_frames=1, encoder_threads=1, renderer_sha256="f" * 64
)
#: Time between two reports.
STEP_S = 0.02


def began(gates: Path, segment: int) -> int:
    """Return how many times a segment was begun."""
    return len(list(gates.glob(f"began-{segment}-*")))


def open_gates(gates: Path) -> None:
    for number in range(SEGMENTS):
        (gates / str(number)).touch()


class LightRenderer:
    """Makes a video that is the concatenation of its segments' numbers."""

    def __init__(self, gates: Path) -> None:
        self._gates = gates

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Make one, and wait for the file of each segment."""
        checkpoints.begin(FINGERPRINT)
        if (self._gates / "sick").exists():
            raise KeyError("sick")
        if job.options.seed == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.options.seed == BROKEN and not (self._gates / "broken").exists():
            (self._gates / "broken").touch()
            raise DeviceFailedError
        parts = [self._segment(number, scratch, report, checkpoints) for number in range(SEGMENTS)]
        path = scratch / "video.mp4"
        path.write_bytes(b"".join(parts))
        return Rendered(path=path, duration_s=1.0)

    def _segment(self, number: int, scratch: Path, report: Report, checkpoints: Checkpoints) -> bytes:
        path = scratch / f"segment-{number}"
        report(Stage.RENDERING, 100 * number / SEGMENTS)
        if not checkpoints.fetch(CheckpointKind.SEGMENT, number, path):
            (self._gates / f"began-{number}-{time.monotonic_ns()}").touch()
            while not (self._gates / str(number)).exists():
                report(Stage.RENDERING, 100 * number / SEGMENTS)
                time.sleep(STEP_S)
            path.write_bytes(b"%d" % number)
            if number + 1 < SEGMENTS:
                checkpoints.keep(CheckpointKind.SEGMENT, number, path)
                checkpoints.check()
        return path.read_bytes()


def make(context: WorkerContext) -> RenderExecutor:
    """Make the child's executor."""
    gates = Path(os.environ["GATES"])
    while (gates / "held").exists():
        time.sleep(STEP_S)
    return factory.renderer_with(context, LightRenderer(gates))


def serve() -> int:
    """Run one worker until a signal stops it; return its exit code."""
    if pod := os.environ.get("POD"):
        socket.gethostname = lambda: pod
    # The supervisor's pauses are shorter; the quarantine in the row is not.
    factor = float(os.environ.get("QUARANTINE_FACTOR", "1"))
    supervisor.quarantine_s = lambda failures: factor * quarantine_s(failures)
    supervisor.FIRST_PAUSE_S = STEP_S
    return forked_children.serve(make)


if __name__ == "__main__":
    sys.exit(serve())
