"""One job from two files to one video; set up once, run many times. Knows no queue, no row and no bucket.

Speech -> motion on disk -> rendered segments -> one MP4. Nothing grows with the length of the
speech but files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubline.framing import crop
from dubline.framing.face import FaceBox
from dubline.models.weights import Networks
from dubline.orchestration.errors import OutOfMemoryError
from dubline.orchestration.jobs import Stage
from dubline.worker import animate, frame, mux, portrait, speech
from dubline.worker.animate import Actor
from dubline.worker.composite import Compositor
from dubline.worker.container import Container
from dubline.worker.model_cache import ModelCache

log = structlog.get_logger(__name__)

# (stage, percent done of the whole job); may raise to stop the job.
Report = Callable[[Stage, float], None]

# Percent of a job at which each stage ends, by measured time of the tiny preset on a CPU.
SAMPLED_PERCENT = 8.0
RENDERED_PERCENT = 95.0
MUXED_PERCENT = 98.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """What one video is a function of, besides the weights.

    Attributes:
        portrait: the sender's picture.
        portrait_px: width times height, as probed; no more is decoded.
        face: in px of the upright portrait.
        speech: the sender's recording.
        container: what the bytes of the speech are.
        duration_s: of the speech.
        preset: name of the networks.
        seed: of the noise that motion is drawn from.
    """

    portrait: Path
    portrait_px: int
    face: FaceBox
    speech: Path
    container: Container
    duration_s: float
    preset: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A finished video.

    Attributes:
        path: the MP4, in the scratch folder.
        duration_s: of its video.
        weights_sha256: of the networks that made it.
    """

    path: Path
    duration_s: float
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class _Scene:
    """The still frame, and who acts in it where."""

    actor: Actor
    still: NDArray[np.uint8]
    square: crop.Square


class Renderer:
    """Runs jobs one after another with the networks that it keeps.

    Args:
        models: the networks.
    """

    def __init__(self, models: ModelCache) -> None:
        self._models = models

    def run(self, job: RenderJob, scratch: Path, report: Report) -> Rendered:
        """Makes one video.

        Args:
            job: what to make.
            scratch: an empty folder; everything is written there.
            report: told of each step, and may raise to stop.

        Raises:
            DublineError: a bad input, a failed encoder, too little memory, or what `report` raised.
        """
        try:
            with torch.inference_mode():
                return self._run(job, scratch, report)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemoryError from error

    def _run(self, job: RenderJob, scratch: Path, report: Report) -> Rendered:
        report(Stage.PREPARING, 0.0)
        networks = self._models.get(job.preset)
        scene = self._scene(job, networks)
        frames = animate.frame_count(job.duration_s, networks.preset.fps)
        duration_s = frames / networks.preset.fps
        motion = scratch / "motion.npy"
        self._sample(job, scene.actor, frames, motion, report)
        parts = self._render(scene, frames, motion, report)
        report(Stage.MUXING, RENDERED_PERCENT)
        path = scratch / "video.mp4"
        channels = speech.channels(job.speech, job.container)
        mux.join(parts, _sound(job, channels, report), channels, path, duration_s)
        log.info("video_rendered", frames=frames, size_bytes=path.stat().st_size)
        return Rendered(path=path, duration_s=duration_s, weights_sha256=networks.sha256)

    def _scene(self, job: RenderJob, networks: Networks) -> _Scene:
        picture = portrait.load(job.portrait, job.portrait_px)
        still = frame.still(picture)
        square = crop.around(job.face.scaled(frame.scale(*picture.size)))
        return _Scene(Actor.cast(networks, crop.cut(still, square), self._models.device), still, square)

    def _sample(self, job: RenderJob, actor: Actor, frames: int, motion: Path, report: Report) -> None:
        report(Stage.SAMPLING, 0.0)
        rate_hz = actor.networks.preset.sample_rate_hz

        def listen() -> Iterator[NDArray[np.float32]]:
            return speech.samples(job.speech, job.container, rate_hz)

        for done in actor.store_motion(listen, frames, job.seed, motion):
            report(Stage.SAMPLING, SAMPLED_PERCENT * done / frames)

    def _render(self, scene: _Scene, frames: int, motion: Path, report: Report) -> list[Path]:
        height, width = scene.still.shape[:2]
        compositor = Compositor(scene.still, scene.square, scene.actor.device)

        def crops(span: range) -> Iterator[Tensor]:
            done = span.start
            for batch in scene.actor.render(motion, span):
                report(Stage.RENDERING, SAMPLED_PERCENT + (RENDERED_PERCENT - SAMPLED_PERCENT) * done / frames)
                yield batch
                done += len(batch)

        parts: list[Path] = []
        for span in animate.segments(frames, scene.actor.networks.preset.render_batch):
            path = motion.with_name(f"segment-{len(parts):06}.mp4")
            written = mux.encode_segment(compositor.frames(crops(span)), width, height, path)
            if written != len(span):
                raise RuntimeError(f"{written} frames were encoded of {len(span)}")
            log.info("segment_rendered", first_frame=span.start, frames=written)
            parts.append(path)
        return parts


def _sound(job: RenderJob, channels: int, report: Report) -> Iterator[NDArray[np.int32]]:
    """The speech as the video's sound; reports as it goes."""
    done_s = 0.0
    for part in speech.sound(job.speech, job.container, channels, mux.AUDIO_HZ):
        share = min(1.0, done_s / job.duration_s)
        report(Stage.MUXING, RENDERED_PERCENT + (MUXED_PERCENT - RENDERED_PERCENT) * share)
        yield part
        done_s += len(part) / mux.AUDIO_HZ
