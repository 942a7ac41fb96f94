"""Light worker: a real worker whose renderer takes milliseconds: `python -m benchmarks.chaos.phases.light_worker`.

Supervisor, child, loop, executor, heartbeat, rows and bucket are those of `dubline.worker`. There are two differences.
Uploads are cached in memory, so that a job costs one PUT to the bucket. A child is forked, see `forked_children`.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.faults import defect
from benchmarks.chaos.phases.forked_children import serve
from benchmarks.chaos.phases.job_duration import DURATION_FACTOR, job_duration_s

from dubline.orchestration.domain.checkpoints import RenderFingerprint
from dubline.orchestration.domain.jobs import Stage
from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects
from dubline.worker.executors import factory
from dubline.worker.rendering.job import Rendered, RenderJob, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.worker.executors.factory import WorkerContext
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.checkpoints import Checkpoints

FINGERPRINT: Final = RenderFingerprint(
    weights_sha256="0" * 64, render_batch=1, segment_frames=1, encoder_threads=1, renderer_sha256="f" * 64
)


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


if __name__ == "__main__":
    sys.exit(serve(make))
