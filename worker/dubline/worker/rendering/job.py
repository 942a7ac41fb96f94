"""Input and output of one render. Imports no network, so that the executor can be tested without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from dubline.framing import crop
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.framing.face import FaceBox
    from dubline.options.render import RenderOptions
    from dubline.orchestration.domain.weights import Pin
    from dubline.worker.media.container import Container
    from dubline.worker.rendering.checkpoints import Checkpoints

#: Progress callback: stage, and percent of the whole job. It may raise to stop the job.
Report = Callable[[Stage, float], None]

#: Percent of a job when the video is muxed and only its upload is left.
MUXED_PERCENT: Final = 98.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """Everything that determines a video, besides the weights."""

    portrait: Path
    """File of the portrait as uploaded."""
    portrait_px: int
    """Width times height as probed; a larger picture is not decoded."""
    face: FaceBox
    """Box in px of the upright portrait."""
    tilt_deg: float = 0.0
    """By how much the face leans clockwise; it is rotated upright for the networks. 0: not at all."""
    speech: Path
    """File of the speech as uploaded."""
    container: Container
    """Container format of the speech."""
    duration_s: float
    """Duration of the speech."""
    options: RenderOptions
    """Options of the accepted job; the seed is set."""
    weights: Pin | None = None
    """Version of the weights; None: that of the worker's package."""
    halvings: int = 0
    """Number of times that the preset's batch is halved, after attempts that ran out of memory."""
    mark: str = ""
    """Metadata of the video (see `media.mark`)."""

    @property
    def most_crop_px(self) -> int:
        """Bound of the crop's side in the video. The size of the portrait is not known before it is decoded.

        A video is not larger than its portrait unless its height is chosen, and a portrait contains its face.
        """
        height_px = self.options.output.height_px
        factor = 1.0 if height_px is None else height_px / max(1.0, self.face.bottom)
        return crop.around(self.face.scaled(factor)).side


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A finished video."""

    path: Path
    """MP4 file in the scratch folder."""
    duration_s: float
    """Duration of the video."""


class Renderer(Protocol):
    """Interface of `pipeline.Renderer`."""

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Render a video in an empty folder: calls `checkpoints.begin` once, and `report` at least once a second."""


class Helper(Protocol):
    """A renderer that can help with a job that another worker holds; `pipeline.Renderer` is one."""

    @property
    def version(self) -> str:
        """Version of the renderer on its device, 64 hexadecimal digits."""

    def help(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> None:
        """Render the segments that `checkpoints` names; as `run`, but the motion is fetched and nothing is joined."""
