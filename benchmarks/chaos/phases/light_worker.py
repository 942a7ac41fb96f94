"""A real worker with a renderer of a few milliseconds: `python -m benchmarks.chaos.phases.light_worker`.

Parent, child, loop, executor, heartbeat, rows and bucket are those of `dubline.worker`. Two things are not. Inputs are
kept in memory after the first job, so that a job costs the bucket one PUT. And a child is forked off a process that
has loaded everything, because a thousand killed children must not cost a thousand starts of an interpreter.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.phases.work import STRETCH, work_s

from dubline.orchestration.domain.checkpoints import RenderFingerprint
from dubline.orchestration.domain.jobs import Stage
from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects
from dubline.worker import __main__ as worker
from dubline.worker import child
from dubline.worker.executors import factory
from dubline.worker.rendering.job import Rendered, RenderJob, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.worker.executors.factory import WorkerContext
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.checkpoints import Checkpoints

STAND_IN: Final = Path(__file__).with_name("child_proxy.py")
FINGERPRINT: Final = RenderFingerprint(weights_sha256="0" * 64, render_batch=1, segment_frames=1, encoder_threads=1)
LOADED_WITHIN_S: Final = 120.0
BROKEN: Final = 1


class LightRenderer:
    """Works as long as the job's seed says, and makes a file of a line.

    Args:
        stretch: makes the work longer.
    """

    def __init__(self, stretch: float) -> None:
        self._stretch = stretch

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Make one."""
        report(Stage.PREPARING, 0.0)
        checkpoints.begin(FINGERPRINT)
        report(Stage.RENDERING, 50.0)
        time.sleep(work_s(job.seed, self._stretch))
        path = scratch / "video.mp4"
        path.write_text(f"the video of seed {job.seed}\n")
        return Rendered(path=path, duration_s=job.duration_s)


class RememberedInputs(Objects):
    """A bucket that is asked for each upload once."""

    def __init__(self, settings: BucketSettings) -> None:
        super().__init__(settings)
        self._remembered: dict[str, bytes] = {}

    def get(self, key: str, path: Path, limit_bytes: int, report: Callable[[], None] = lambda: None) -> int:
        """Copy an object into a file and return its length."""
        if key not in self._remembered:
            super().get(key, path, limit_bytes, report)
            self._remembered[key] = path.read_bytes()
        return path.write_bytes(self._remembered[key])


def make(context: WorkerContext) -> RenderExecutor:
    """Make the executor of a child."""
    executor = factory.renderer_with(context, LightRenderer(float(os.environ.get(STRETCH, "1"))))
    return replace(executor, objects=RememberedInputs(BucketSettings.read()))


def main() -> int:
    """Run one worker until a signal stops it."""
    with tempfile.TemporaryDirectory(prefix="light-") as folder:
        address = str(Path(folder) / "fork")
        parents_end, forkers_end = socket.socketpair()
        if os.fork() == 0:
            parents_end.close()
            os._exit(_fork_on_request(address, forkers_end))
        forkers_end.close()
        with parents_end:
            parents_end.settimeout(LOADED_WITHIN_S)
            parents_end.recv(1)
            # -I -S: nothing but the standard library, so that it starts in a few milliseconds.
            return worker.serve("render", (sys.executable, "-I", "-S", str(STAND_IN), address))


def _fork_on_request(address: str, parent: socket.socket) -> int:
    """Fork a child for each stand-in that comes, one after another, until the parent is gone."""
    # What every fork then has: the executor's modules, and boto's descriptions of S3.
    import dubline.worker.executors.render  # noqa: F401, PLC0415

    Objects(BucketSettings.read())
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        parent.send(b".")
        while True:
            ready, _, _ = select.select([door, parent], [], [])
            if parent in ready:
                return 0
            stand_in, _ = door.accept()
            with stand_in:
                folder, (line, *_), _, _ = socket.recv_fds(stand_in, 4096, 1)
                pid = os.fork()
                if pid == 0:
                    for held in (door, parent, stand_in):
                        held.close()
                    _live(line, Path(folder.decode()))
                os.close(line)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                try:
                    stand_in.sendall(bytes([code if code >= 0 else BROKEN]))
                except OSError:
                    # The stand-in was killed with its parent, which the next look finds out.
                    continue


def _live(line: int, folder: Path) -> None:
    code = BROKEN
    try:
        code = child.work(make, line, folder)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
