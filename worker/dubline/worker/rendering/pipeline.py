"""One job from two files to one video; set up once, run many times. Knows no queue, no row and no bucket.

Speech -> motion on disk -> rendered segments -> one MP4. Nothing grows with the length of the
speech but files. Motion and segments that were kept from an earlier attempt are not made again: a segment is a
function of the stored motion alone, so the video has the same bytes as one that was made in one go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import torch

from dubline.framing import crop
from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.media import frame, image, mux, speech
from dubline.worker.rendering import motion
from dubline.worker.rendering.checkpoints import Checkpoints, NoCheckpoints
from dubline.worker.rendering.composite import Compositor
from dubline.worker.rendering.motion import PreparedSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dubline.models.weights import Networks
    from dubline.worker.rendering.job import Rendered, RenderJob, Report
    from dubline.worker.rendering.model_cache import ModelCache

_log = structlog.get_logger(__name__)

#: Percent of a job at which each stage ends, by measured time on a CPU: 6.6 and 96.5 with TINY, 8.9 and 96.9 with BASE.
SAMPLED_PERCENT: Final = 8.0
RENDERED_PERCENT: Final = 95.0

NOTHING_KEPT: Final = NoCheckpoints()


class Renderer:
    """Runs jobs one after another with the networks that it keeps.

    Args:
        models: the networks.
    """

    def __init__(self, models: ModelCache) -> None:
        self._models = models

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints = NOTHING_KEPT) -> Rendered:
        """Make one video.

        Args:
            job: what to make.
            scratch: a folder; everything is written there.
            report: told of each step, and may raise to stop.
            checkpoints: asked for what is there already, and given each new piece that a later attempt could use.

        Raises:
            DublineError: a bad input, a failed encoder or device, too little memory, or what `report` or
                `checkpoints` raised.
        """
        with _faults_named(), torch.inference_mode():
            report(Stage.PREPARING, 0.0)
            networks = self._models.get(job.options.preset)
            run = _Run(job, networks, self._models.device, scratch, report, checkpoints)
            checkpoints.begin(run.fingerprint)
            prepared, compositor = run.stage()
            motion_file = run.sample(prepared)
            return run.mux(run.render(prepared, compositor, motion_file))


class _Run:
    """One job on its way."""

    def __init__(  # noqa: PLR0913, PLR0917 - the job, what it is made with, and who is told
        self,
        job: RenderJob,
        networks: Networks,
        on: torch.device,
        scratch: Path,
        report: Report,
        checkpoints: Checkpoints,
    ) -> None:
        self._job, self._networks, self._device = job, networks, on
        self._scratch, self._report, self._checkpoints = scratch, report, checkpoints
        self._frames = motion.frame_count(job.duration_s, networks.preset.fps)
        self._batch = max(1, networks.preset.render_batch >> job.halvings)
        self._spans = motion.segments(self._frames, self._batch)

    @property
    def fingerprint(self) -> RenderFingerprint:
        """What the bytes of each segment depend on, besides the motion."""
        return RenderFingerprint(
            weights_sha256=self._networks.sha256,
            render_batch=self._batch,
            segment_frames=motion.segment_frames(self._batch),
            encoder_threads=mux.THREADS,
        )

    def stage(self) -> tuple[PreparedSource, Compositor]:
        """The person, and the still picture that the person moves in."""
        picture = image.load(self._job.portrait, self._job.portrait_px)
        still = frame.still(picture)
        square = crop.around(self._job.face.scaled(frame.scale(*picture.size)))
        prepared = PreparedSource.from_crop(self._networks, crop.cut(still, square), self._device)
        return prepared, Compositor(still, square, self._device)

    def sample(self, prepared: PreparedSource) -> Path:
        """Put the motion of the whole recording into a file."""
        path, percent = self._scratch / "motion.npy", 0.0
        self._report(Stage.SAMPLING, percent)
        if self._checkpoints.fetch(CheckpointKind.MOTION, 0, path):
            return path

        def listen() -> Iterator[NDArray[np.float32]]:
            rate_hz = self._networks.preset.sample_rate_hz
            for second in speech.samples(self._job.speech, self._job.container, rate_hz):
                # The whole recording is heard before the first window is drawn.
                self._report(Stage.SAMPLING, percent)
                yield second
