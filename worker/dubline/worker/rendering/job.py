"""What goes into one render and what comes out. Imports no network, so that all may know it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dubline.framing.face import FaceBox
from dubline.orchestration.domain.controls import USUAL, Controls
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.media.container import Container
from dubline.worker.rendering.checkpoints import Checkpoints

# (stage, percent done of the whole job); may raise to stop the job.
Report = Callable[[Stage, float], None]

# Percent of a job at which only the storing is left.
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
        seed: of the noise that motion is drawn from, and of the blinks.
        controls: what to change about that motion.
        halvings: how often the preset's batch of frames is halved, because it did not fit into memory.
    """

    portrait: Path
    portrait_px: int
    face: FaceBox
    speech: Path
    container: Container
    duration_s: float
    preset: str
    seed: int
    controls: Controls = USUAL
    halvings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A finished video.

    Attributes:
        path: the MP4, in the scratch folder.
        duration_s: of its video.
    """

    path: Path
    duration_s: float


class Renderer(Protocol):
    """Makes videos; the real one is `pipeline.Renderer`."""

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Makes one, in an empty folder. Begins the checkpoints, and reports at least once a second."""
