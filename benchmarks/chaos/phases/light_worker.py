"""Light worker: a real worker whose renderer takes milliseconds: `python -m benchmarks.chaos.phases.light_worker`.

Supervisor, child, loop, executor, heartbeat, rows and bucket are those of `dubline.worker`. There are two differences.
Uploads are cached in memory, so that a job costs one PUT to the bucket. A child is forked by a fork server that has
imported everything, because a thousand killed children must not cost a thousand starts of an interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.checkpoints import RenderFingerprint
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from dubline.worker.rendering.checkpoints import Checkpoints
    from dubline.worker.rendering.job import Rendered, RenderJob, Report

CHILD_PROXY: Final = Path(__file__).with_name("child_proxy.py")
FINGERPRINT: Final = RenderFingerprint(weights_sha256="0" * 64, render_batch=1, segment_frames=1, encoder_threads=1)
LOADED_WITHIN_S: Final = 120.0
#: Exit code of a child that ended by a signal or an error.
FAILED: Final = 1


class LightRenderer:
    """Renderer that sleeps for the duration given by the job's seed and writes one line.

    Args:
        duration_factor: makes jobs longer.
    """

    def __init__(self, duration_factor: float) -> None:
        self._duration_factor = duration_factor

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Render one job."""
        report(Stage.PREPARING, 0.0)
        checkpoints.begin(FINGERPRINT)
        report(Stage.RENDERING, 50.0)
