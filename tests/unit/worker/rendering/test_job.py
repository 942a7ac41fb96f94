from __future__ import annotations

from pathlib import Path

import pytest

from dubline.framing import crop
from dubline.framing.face import FaceBox
from dubline.options.render import OutputOptions, RenderOptions
from dubline.worker.media import frame
from dubline.worker.media.container import WAV
from dubline.worker.rendering.job import RenderJob

FACE = FaceBox(105, 175, 422, 492)


@pytest.mark.parametrize("size", [(512, 512), (512, 2000), (3000, 2000)])
@pytest.mark.parametrize("height_px", [None, 400, 1080])
def test_no_crop_is_larger_than_its_bound(size: tuple[int, int], height_px: int | None) -> None:
    job = RenderJob(
        portrait=Path("a.png"),
        portrait_px=size[0] * size[1],
        face=FACE,
        speech=Path("a.wav"),
        container=WAV,
        duration_s=1.0,
        options=RenderOptions(preset="base", seed=0, output=OutputOptions(height_px=height_px)),
    )
    assert crop.around(frame.face_in_video(FACE, *size, height_px)).side <= job.most_crop_px
