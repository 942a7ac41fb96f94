"""The self-test of a renderer: it renders the specimen, through decoder, networks and encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.framing.face import FaceBox
from dubline.options.render import RenderOptions
from dubline.worker.media import specimen
from dubline.worker.media.container import WAV
from dubline.worker.rendering.checkpoints import NoCheckpoints
from dubline.worker.rendering.job import RenderJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dubline.orchestration.domain.jobs import Stage
    from dubline.worker.rendering.job import Renderer

#: The networks need no face, only a box.
FACE: Final = FaceBox(64, 64, 192, 192)


def run(renderer: Renderer, preset: str, folder: Path, report: Callable[[], None]) -> None:
    """Render a video of a few frames.

    Args:
        renderer: is tested.
        preset: networks that are used.
        folder: empty folder for all files.
        report: called at each step; may raise to stop.

    Raises:
        Exception: whatever the renderer raises.
        RuntimeError: the video is empty.
    """

    def step(_stage: Stage, _percent: float) -> None:
        report()

    job = RenderJob(
        portrait=specimen.portrait(folder / "portrait"),
        portrait_px=specimen.SIDE_PX**2,
        face=FACE,
        speech=specimen.speech(folder / "speech"),
        container=WAV,
        duration_s=specimen.DURATION_S,
        options=RenderOptions(preset=preset, seed=0),
    )
    rendered = renderer.run(job, folder, step, NoCheckpoints())
    if not rendered.path.stat().st_size:
        raise RuntimeError("the video of the self-test is empty")
