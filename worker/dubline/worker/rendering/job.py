"""What goes into one render and what comes out. Imports no network, so that all may know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.framing.face import FaceBox
    from dubline.options.render import RenderOptions
    from dubline.worker.media.container import Container
    from dubline.worker.rendering.checkpoints import Checkpoints

# (stage, percent done of the whole job); may raise to stop the job.
Report = Callable[[Stage, float], None]

#: Percent of a job at which only the storing is left.
MUXED_PERCENT: Final = 98.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """What one video is a function of, besides the weights."""

    portrait: Path
    """The sender's picture."""
    portrait_px: int
    """Width times height, as probed; no more is decoded."""
    face: FaceBox
    """In px of the upright portrait."""
    speech: Path
    """The sender's recording."""
    container: Container
    """What the bytes of the speech are."""
    duration_s: float
    """Of the speech."""
    options: RenderOptions
    """With a seed."""
    halvings: int = 0
    """How often the preset's batch of frames is halved, because it did not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A finished video."""

    path: Path
    """The MP4, in the scratch folder."""
    duration_s: float
    """Of its video."""


class Renderer(Protocol):
    """Makes videos; the real one is `pipeline.Renderer`."""

    def run(self, job: RenderJob, scratch: Path, report: Report, checkpoints: Checkpoints) -> Rendered:
        """Make one, in an empty folder. Begins the checkpoints, and reports at least once a second."""
