"""The rendering pipeline: from one portrait and one speech track to one video. No queue, no database, no bucket.

Speech -> motion file -> segments -> one MP4. Only files grow with the length of the speech. The motion and the
segments of an earlier attempt are reused: a segment is a function of the motion file alone, so a resumed video has the
same bytes as one that was rendered in one attempt. Frames are rendered while the motion of later ones is sampled.
"""

from __future__ import annotations

import itertools
import traceback
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import cv2
import structlog
import torch

from dubline.orchestration.domain.checkpoints import CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.errors import OutOfMemoryError
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.media import decoded, frame, mux
from dubline.worker.rendering import device, motion, version
from dubline.worker.rendering.ahead import Ahead
from dubline.worker.rendering.checkpoints import Checkpoints, NoCheckpoints
from dubline.worker.rendering.job import MUXED_PERCENT, Rendered, RenderJob, Report
from dubline.worker.rendering.keeper import Keeper
from dubline.worker.rendering.portrait import prepare
from dubline.worker.rendering.sampler import Sampler
from dubline.worker.rendering.speech import SpeechFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dubline.models.weights import Networks
    from dubline.options.render import MotionControls
    from dubline.worker.media.decoded import Decoded
    from dubline.worker.rendering.full_size.compositor import Compositor, Crops
    from dubline.worker.rendering.model_cache import ModelCache
    from dubline.worker.rendering.motion import PreparedSource
    from dubline.worker.rendering.portrait import Portrait

_log = structlog.get_logger(__name__)

#: Percent of a job at the end of each stage, from times on a CPU: 6.6 and 96.5 with TINY, 8.9 and 96.9 with BASE.
SAMPLED_PERCENT: Final = 8.0
RENDERED_PERCENT: Final = 95.0

NO_CHECKPOINTS: Final = NoCheckpoints()


class Renderer:
    """Renders one job after another with cached networks.

    Args:
        models: the networks.
    """

    def __init__(self, models: ModelCache) -> None:
        self._models = models

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints = NO_CHECKPOINTS) -> Rendered:
        """Render one video.

        Args:
            job: inputs and options.
            scratch: the folder for all files that are written.
            report: called at each step; may raise to stop.
            checkpoints: provides finished parts of earlier attempts and stores those of this one.

        Raises:
            DublineError: a bad input, a failed encoder or device, too little memory, or an error of `report` or
                `checkpoints`.
        """
        with _device_errors_translated(), torch.inference_mode():
            return self._run(job, scratch, report, checkpoints)

    @property
    def version(self) -> str:
        """Version of the renderer on its device, 64 hexadecimal digits."""
        return version.renderer_sha256(self._models.device)

    def help(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> None:
        """Render segments of a job that another worker holds.

        Args:
            job: as for `run`.
            scratch: as for `run`.
            report: as for `run`.
            checkpoints: provides the motion, names the segments and stores them.

        Raises:
            DublineError: as for `run`.
        """
        with _device_errors_translated(), torch.inference_mode():
            run = self._begun(job, scratch, report, checkpoints)
            with run.decoder() as files:
                prepared, compositor = run.prepare(files, with_speech=False)
            run.render_missing(prepared, compositor, run.fetch_motion())

    def _run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        run = self._begun(job, scratch, report, checkpoints)
        with run.decoder() as files:
            prepared, compositor = run.prepare(files)
        with run.sampling(prepared) as motion_file:
            parts = run.render(prepared, compositor, motion_file)
        return run.mux(parts)

    def _begun(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> _Run:
        def prepare() -> None:
            report(Stage.PREPARING, 0.0)

        prepare()
        networks = self._models.get(job.options.preset, job.weights, prepare)
        run = _Run(job, networks, self._models.device, scratch, report, checkpoints)
        checkpoints.begin(run.fingerprint)
        return run


class _Run:
    """The rendering of one job."""

    def __init__(  # noqa: PLR0913, PLR0917 - the job, its networks and device, and two callbacks
        self,
        job: RenderJob,
        networks: Networks,
        on: torch.device,
        scratch: Path,
        report: Report,
        checkpoints: Checkpoints,
    ) -> None:
        self._job, self._networks, self._device = job, networks, on
        self._scratch, self._tell, self._checkpoints = scratch, report, checkpoints
        self._reached = (Stage.PREPARING, 0.0)
        self._frames = motion.frame_count(job.duration_s, networks.preset.fps)
        self._batch = max(1, device.render_batch(networks.preset.render_batch, on, job.most_crop_px) >> job.halvings)
        self._controls = job.options.controls
        self._spans = motion.segments(self._frames, self._batch)
        self._speech = SpeechFiles(scratch, networks.preset.sample_rate_hz)
        self._done = 0
        # While there is one, the motion is not complete.
        self._sampler: Sampler | None = None
        # Whether segments may be kept: an attempt without their motion would sample it again.
        self._motion_kept = True
        # Numbers of the segments that were begun, and of those that were encoded, before the motion was kept.
        self._begun: set[int] = set()
        self._encoded: list[int] = []

    @property
    def fingerprint(self) -> RenderFingerprint:
        """What the bytes of a segment depend on besides the motion."""
        return RenderFingerprint(
            weights_sha256=self._networks.sha256,
            render_batch=self._batch,
            segment_frames=motion.segment_frames(self._batch),
            encoder_threads=mux.THREADS,
            renderer_sha256=version.renderer_sha256(self._device),
        )

    def decoder(self) -> AbstractContextManager[Decoded]:
        """Start the process that decodes the files of the job."""
        job = self._job
        return decoded.started(job.portrait, job.portrait_px, job.speech, job.container, job.duration_s, self._repeat)

    def prepare(self, files: Decoded, *, with_speech: bool = True) -> tuple[PreparedSource, Compositor]:
        """Decode the files; return the portrait's encoded source crop and the compositor of its still frame.

        The recording is decoded while the portrait is encoded.

        Args:
            files: the decoder.
            with_speech: whether the recording is needed.
        """
        job, height_px = self._job, self._job.options.output.height_px
        # Jobs of small crops before this one keep theirs.
        device.trim_memory(job.most_crop_px)
        still, size = files.still(height_px)
        face = frame.face_in_video(job.face, *size, height_px)

        @torch.inference_mode()
        def encode() -> tuple[Portrait, MotionControls]:
            portrait = prepare(self._networks, still, face, job.tilt_deg, self._device)
            return portrait, portrait.possible(job.options.controls)

        with Ahead(1, self._repeat) as ahead:
            encoded = ahead.begin(encode)
            if with_speech:
                self._speech.write(files, self._frames / self._networks.preset.fps, self._repeat)
            portrait, self._controls = encoded()
        # What the preparation of a large crop took is not needed by frames.
        device.trim_memory(job.most_crop_px)
        return portrait.source, portrait.compositor

    def fetch_motion(self) -> Path:
        """Fetch the motion that another worker has stored."""
        path = self._scratch / "motion.npy"
        self._checkpoints.fetch(CheckpointKind.MOTION, 0, path)
        return path

    @contextmanager
    def sampling(self, prepared: PreparedSource) -> Iterator[Path]:
        """Sample the motion of the recording to a file, or fetch it.

        The context begins when the first window is sampled; a thread samples the others.
        """
        path = self._scratch / "motion.npy"
        self._report(Stage.SAMPLING, 0.0)
        if self._checkpoints.fetch(CheckpointKind.MOTION, 0, path):
            yield path
            return

        def windows(sampler: Sampler) -> Iterator[int]:
            def speech() -> Iterator[NDArray[np.float32]]:
                # The whole recording is read before the first window is sampled.
                for second in self._speech.samples():
                    sampler.touch()
                    yield second

            seed = self._job.options.fixed_seed
            return prepared.store_motion(speech, self._frames, seed, path, self._controls)

        # A video of one segment is rendered again sooner than its motion is stored and fetched.
        self._motion_kept = len(self._spans) == 1
        with Sampler(windows, self._repeat, self._job.most_crop_px) as self._sampler:
            self._sampler.wait(1)
            yield path

    def render(self, prepared: PreparedSource, compositor: Compositor, motion_file: Path) -> list[Path]:
        """Render or fetch all segments; return their files."""
        self.render_missing(prepared, compositor, motion_file)
        lost = [number for number in range(len(self._spans)) if not self._fetched(number)]
        self._render(prepared, compositor, motion_file, lost)
        return [self._segment(number) for number in range(len(self._spans))]

    def render_missing(self, prepared: PreparedSource, compositor: Compositor, motion_file: Path) -> None:
        """Render the segments that no other attempt and no other worker renders; wait for the others."""
        self._report_rendered()
        while True:
            self._render(prepared, compositor, motion_file, self._missing(motion_file))
            if self._checkpoints.settled(len(self._spans)):
                return
            # While others render, this device is idle.
            self._report(Stage.MUXING, self._reached[1])

    def _missing(self, motion_file: Path) -> Iterator[int]:
        """Yield the number of each segment to render: the first ones while the motion of later ones is sampled."""
        count = len(self._spans)
        if not self._motion_kept:
            while self._sampled < self._frames and len(self._begun) < count:
                number = len(self._begun)
                self._begun.add(number)
                yield number
            self._keep_motion(motion_file)
        yield from (number for number in self._checkpoints.missing(count) if number not in self._begun)

    def _keep_motion(self, motion_file: Path) -> None:
        """Keep the motion, and the segments that were rendered before it was complete."""
        self._sample_to(self._frames)
        self._checkpoints.keep(CheckpointKind.MOTION, 0, motion_file)
        self._motion_kept = True
        for number in self._encoded:
            self._checkpoints.keep(CheckpointKind.SEGMENT, number, self._segment(number))
        self._checkpoints.check()

    @property
    def _sampled(self) -> int:
        """Number of frames that have their motion."""
        return self._frames if self._sampler is None else self._sampler.sampled

    def _sample_to(self, frame: int) -> None:
        """Wait until the frames before this one have their motion."""
        if self._sampler is not None:
            self._sampler.wait(frame)

    def _render(
        self, prepared: PreparedSource, compositor: Compositor, motion_file: Path, numbers: Iterable[int]
    ) -> None:
        def compute(number: int, frames: range) -> tuple[int, Crops]:
            return number, compositor.enlarge(prepared.fields(motion_file, frames))

        def calls() -> Iterator[Callable[[], tuple[int, Crops]]]:
            for number in numbers:
                self._repeat()
                for frames in motion.batches(self._spans[number], self._batch):
                    # Meanwhile the threads compute the batches before.
                    self._sample_to(frames.stop)
                    yield partial(compute, number, frames)

        threads = device.compute_threads(self._device)
        with Keeper(self._checkpoints, self._repeat) as keeper, Ahead(threads, self._repeat) as ahead:
            computed = ahead.results(calls())
            for number, first in computed:
                count = len(motion.batches(self._spans[number], self._batch))
                rest = (crops for _, crops in itertools.islice(computed, count - 1))
                self._encode_segment(compositor, itertools.chain([first], rest), number)
                if number + 1 < len(self._spans):
                    # The last segment is not stored, because little work is left after it.
                    if self._motion_kept:
                        keeper.keep(number, self._segment(number))
                    else:
                        self._encoded.append(number)
                    self._checkpoints.check()
            keeper.finish()

    def mux(self, parts: list[Path]) -> Rendered:
        """Join the segments and the soundtrack."""
        path = self._scratch / "video.mp4"
        self._report(Stage.MUXING, RENDERED_PERCENT)
        duration_s = self._frames / self._networks.preset.fps
        mux.join(
            parts,
            self._speech.soundtrack,
            path,
            duration_s,
            lambda: self._report(Stage.MUXING, MUXED_PERCENT),
            self._job.mark,
        )
        _log.info("video_rendered", frames=self._frames, size_bytes=path.stat().st_size)
        return Rendered(path=path, duration_s=duration_s)

    def _segment(self, number: int) -> Path:
        return self._scratch / f"segment-{number:06}.mp4"

    def _fetched(self, number: int) -> bool:
        path = self._segment(number)
        return path.exists() or self._checkpoints.fetch(CheckpointKind.SEGMENT, number, path)

    def _encode_segment(self, compositor: Compositor, batches: Iterable[Crops], number: int) -> None:
        def counted() -> Iterator[Crops]:
            for batch in batches:
                self._report_rendered()
                yield batch
                self._done += len(batch.luma)

        span, frames = self._spans[number], compositor.frames(counted())
        written = mux.encode_segment(frames, *compositor.size, self._segment(number), self._report_rendered)
        if written != len(span):
            raise RuntimeError(f"{written} frames were encoded of {len(span)}")
        _log.info("segment_rendered", first_frame=span.start, frames=written)

    def _report(self, stage: Stage, percent: float) -> None:
        self._reached = (stage, percent)
        self._tell(stage, percent)

    def _repeat(self) -> None:
        """Report the last step again, while waiting."""
        self._report(*self._reached)

    def _report_rendered(self) -> None:
        # Of other workers and attempts, whole segments are known.
        done = self._done + self._checkpoints.stored * len(self._spans[0])
        share, sampled = min(1.0, done / self._frames), self._sampled / self._frames
        percent = SAMPLED_PERCENT * sampled + (RENDERED_PERCENT - SAMPLED_PERCENT) * share
        # Until the motion is kept, a worker that stops need not finish its segment.
        self._report(Stage.RENDERING if self._motion_kept else Stage.SAMPLING, percent)


@contextmanager
def _device_errors_translated() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError, OSError, cv2.error) as error:
        translated = device.translate(error)
        if translated is None:
            raise
        if isinstance(translated, OutOfMemoryError):
            # The frames of the error still hold the tensors of the attempt, and the allocator keeps their memory.
            traceback.clear_frames(error.__traceback__)
            device.release_memory()
        raise translated from error
