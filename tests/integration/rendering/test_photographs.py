"""Videos of given pictures hold together: their borders, bars and colours. Skipped without the pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import torch
from tests.integration.rendering.pictures import CPU, prepared

from dubline.framing import bars, crop
from dubline.models.layers import resize
from dubline.models.sampling import sample_motion
from dubline.models.weights import Networks, load_networks
from dubline.training.corpus import read_speech
from dubline.worker.rendering.full_size.border import Border

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox
    from dubline.models.stage1.autoencoder import Fields

PHOTOS = Path(os.environ.get("DUBLINE_TEST_PHOTOS", "-"))
CASES = Path(os.environ.get("DUBLINE_TEST_CASES", "-"))
SPEECH = Path(__file__).parents[3] / "demo" / "speech"
#: Frames of which every `EVERY`-th is rendered.
FRAMES, EVERY = 100, 7
#: Border of the region that may change, as a share of its side.
RING = 0.08
MOUTH = ((0.62, 0.98), (0.25, 0.75))
LIDS = ((0.15, 0.42), (0.05, 0.95))


class Rendered(NamedTuple):
    """Some frames of one picture."""

    still: NDArray[np.uint8]
    face: FaceBox
    fields: Fields
    frames: list[NDArray[np.uint8]]
    """I420, the first one without motion."""

    def box(self, shares: tuple[tuple[float, float], tuple[float, float]]) -> tuple[slice, slice]:
        """Return rows and columns of a part of the face, even."""
        found, side = self.face, self.face.side
        starts = (found.top, found.left)
        rows, columns = (
            slice(*(2 * round((start + share * side) / 2) for share in part))
            for start, part in zip(starts, shares, strict=True)
        )
        return rows, columns


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks("base", CPU)


@torch.inference_mode()
def rendered(networks: Networks, path: Path) -> Rendered:
    still, found, portrait = prepared(networks, path)
    source, speech = portrait.source.source, read_speech(min(SPEECH.glob("*.*")), FRAMES / 25)
    motion = torch.cat(list(sample_motion(networks, source, lambda: iter([speech]), FRAMES, 3))).float()
    motion = torch.cat([source.motion, motion[::EVERY]])
    fields = networks.autoencoder.fields(source, motion, networks.open_lids(source, motion))
    frames = [one.copy() for one in portrait.compositor.frames([portrait.compositor.enlarge(fields)])]
    return Rendered(still, found, fields, frames)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="DUBLINE_TEST_PHOTOS does not name a folder of photographs")
def test_nothing_moves_at_the_border_of_any_photograph(networks: Networks) -> None:
    for path in sorted(PHOTOS.glob("*.jpg")):
        made = rendered(networks, path)
        rows, columns = bars.picture_in(made.still, made.face.centre)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        square = crop.around(made.face.shifted(-columns.start, -rows.start))
        border = Border(square, height, width)
        region = border.region
        moved = border(made.fields).displacement.norm(dim=1, keepdim=True) * region.side / 2
        moved = resize(moved, region.side, region.side)[:, 0].numpy()
        ring = round(RING * region.side)
        inside = {
            "top": moved[:, :ring] if region.top > 0 else moved[:, :0],
            "bottom": moved[:, -ring:] if region.top + region.side < height else moved[:, :0],
            "left": moved[..., :ring] if region.left > 0 else moved[:, :0],
            "right": moved[..., -ring:] if region.left + region.side < width else moved[:, :0],
        }
        for side, pixels in inside.items():
            assert pixels.max(initial=0) <= 1, (path.name, side)


def planes_of(one: NDArray[np.uint8]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return luma (H, W) and chroma (2, H / 2, W / 2) of a frame."""
    height = one.shape[0] * 2 // 3
    return one[:height].astype(int), one[height:].reshape(2, height // 2, -1).astype(int)


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
@pytest.mark.parametrize("name", ["letterbox_bars.jpg", "pillar_bars.jpg"])
def test_bars_beside_a_picture_stay_straight(networks: Networks, name: str) -> None:
    made = rendered(networks, CASES / name)
    outside = np.ones(made.still.shape[:2], dtype=bool)
    outside[bars.picture_in(made.still, made.face.centre)] = False
    assert outside.mean() > 0.3
    still, _ = planes_of(made.frames[0])
    assert max(np.abs(planes_of(one)[0] - still)[outside].max() for one in made.frames[1:]) <= 2


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
def test_a_black_and_white_portrait_stays_so(networks: Networks) -> None:
    made = rendered(networks, CASES / "grey_base.png")
    for part in (MOUTH, LIDS):
        rows, columns = (slice(each.start // 2, each.stop // 2) for each in made.box(part))
        chroma = [np.abs(planes_of(one)[1][:, rows, columns] - 128) for one in made.frames]
        assert np.percentile(chroma, 99.5) <= 8


@pytest.mark.skipif(not CASES.is_dir(), reason="DUBLINE_TEST_CASES does not name a folder of cases")
def test_the_mouth_of_a_dim_portrait_does_not_glow(networks: Networks) -> None:
    made = rendered(networks, CASES / "dim30.png")
    rows, columns = made.box(MOUTH)
    first, *rest = (np.percentile(planes_of(one)[0][rows, columns] - 16, 99.7) for one in made.frames)
    assert max(rest) <= 1.15 * first
