"""Light worker: a real worker whose renderer takes milliseconds: `python -m benchmarks.chaos.phases.light_worker`.

Supervisor, child, loop, executor, heartbeat, rows and bucket are those of `dubline.worker`. There are two differences.
Uploads are cached in memory, so that a job costs one PUT to the bucket. A child is forked by a fork server that has
imported everything, because a thousand killed children must not cost a thousand starts of an interpreter.
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

from benchmarks.chaos.faults import defect
from benchmarks.chaos.phases.job_duration import DURATION_FACTOR, job_duration_s

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

CHILD_PROXY: Final = Path(__file__).with_name("child_proxy.py")
FINGERPRINT: Final = RenderFingerprint(weights_sha256="0" * 64, render_batch=1, segment_frames=1, encoder_threads=1)
LOADED_WITHIN_S: Final = 120.0
#: Exit code of a child that ended by a signal or an error.
FAILED: Final = 1


class LightRenderer:
    """Renderer that sleeps for the duration given by the job's seed and writes one line.

    Args:
        duration_factor: makes jobs longer.
        defect_file: names the fault with which jobs fail; without it none does.
    """

    def __init__(self, duration_factor: float, defect_file: Path) -> None:
        self._duration_factor = duration_factor
        self._defect_file = defect_file
        self._jobs = 0

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Render one job."""
        report(Stage.PREPARING, 0.0)
        self._jobs += 1
        defect.fail(self._defect_file, self._jobs)
        checkpoints.begin(FINGERPRINT)
        report(Stage.RENDERING, 50.0)
        time.sleep(job_duration_s(job.options.fixed_seed, self._duration_factor))
        path = scratch / "video.mp4"
        path.write_text(f"the video of seed {job.options.fixed_seed}\n")
        return Rendered(path=path, duration_s=job.duration_s)


class CachedObjects(Objects):
    """Bucket that fetches each upload once and caches it in memory."""

    def __init__(self, settings: BucketSettings) -> None:
        super().__init__(settings)
        self._cache: dict[str, bytes] = {}

    def get(self, key: str, path: Path, limit_bytes: int, report: Callable[[], None] = lambda: None) -> int:
        """Copy an object into a file and return its length."""
        if key not in self._cache:
            super().get(key, path, limit_bytes, report)
            self._cache[key] = path.read_bytes()
        return path.write_bytes(self._cache[key])


def make(context: WorkerContext) -> RenderExecutor:
    """Make the executor of a child."""
    factor, defect_file = float(os.environ.get(DURATION_FACTOR, "1")), Path(os.environ[defect.DEFECT_FILE])
    executor = factory.renderer_with(context, LightRenderer(factor, defect_file))
    return replace(executor, objects=CachedObjects(BucketSettings.read()))


def main() -> int:
    """Run one worker until a signal stops it."""
    with tempfile.TemporaryDirectory(prefix="light-") as folder:
        address = str(Path(folder) / "fork")
        own_end, fork_server_end = socket.socketpair()
        if os.fork() == 0:
            own_end.close()
            os._exit(_serve_forks(address, fork_server_end))
        fork_server_end.close()
        with own_end:
            own_end.settimeout(LOADED_WITHIN_S)
            own_end.recv(1)
            # -I -S: with the standard library only, the child proxy starts in a few milliseconds.
            return worker.serve("render", (sys.executable, "-I", "-S", str(CHILD_PROXY), address))


def _serve_forks(address: str, parent: socket.socket) -> int:
    """Fork a child for each child proxy that connects, one after another, until the parent has ended."""
    # Imported before the first fork, so that every child has the executor's modules and boto's description of S3.
    import dubline.worker.executors.render  # noqa: F401, PLC0415

    Objects(BucketSettings.read())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        parent.send(b".")
        while True:
            ready, _, _ = select.select([listener, parent], [], [])
            if parent in ready:
                return 0
            child_proxy, _ = listener.accept()
            with child_proxy:
                _fork_child(child_proxy, (listener, parent, child_proxy))


def _fork_child(child_proxy: socket.socket, inherited: tuple[socket.socket, ...]) -> None:
    """Fork a child, wait for it and send its exit code to its child proxy."""
    folder, (channel_fd, *_), _, _ = socket.recv_fds(child_proxy, 4096, 1)
    pid = os.fork()
    if pid == 0:
        for one in inherited:
            one.close()
        _run_child(channel_fd, Path(folder.decode()))
    os.close(channel_fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        child_proxy.sendall(bytes([code if code >= 0 else FAILED]))
    except OSError:
        # The child proxy was killed together with the parent; the next `select` returns the parent's socket.
        return


def _run_child(channel_fd: int, folder: Path) -> None:
    code = FAILED
    try:
        code = child.work(make, channel_fd, folder)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
