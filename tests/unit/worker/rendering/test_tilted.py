from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from dubline.framing import crop
from dubline.framing.crop import Square
from dubline.framing.tilted import TiltedSquare, between_pixels
from dubline.models.layers import resize
from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.worker.rendering.full_size.compositor import Compositor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

CPU = torch.device("cpu")
NETWORK = 128
SQUARE = Square(160, 120, 160)
PIVOT = (240.0, 208.0)


def fields(strength: float = 0.04, occlusion: float = 2.0) -> Fields:
    """Make smooth fields that fade towards the border."""
    generator = torch.Generator().manual_seed(3)

    def smooth(channels: int, side: int) -> torch.Tensor:
        fade = torch.sin(torch.linspace(0, np.pi, side))
        return resize(torch.randn(2, channels, 5, 5, generator=generator), side, side) * fade * fade[:, None]

    generated = GeneratedPixels(smooth(3, NETWORK).tanh(), (occlusion * smooth(1, NETWORK)).clamp(0, 1))
    return Fields(strength * smooth(2, NETWORK // 2), generated)


def composed(frame: NDArray[np.uint8], tilted: TiltedSquare, moved: Fields) -> list[NDArray[np.uint8]]:
    made = Compositor(frame, tilted, CPU)
    return [one.copy() for one in made.frames([made.enlarge(moved)])]


def upright(frame: NDArray[np.uint8], moved: Fields) -> list[NDArray[np.uint8]]:
    made = Compositor(frame, SQUARE, CPU)
    return [one.copy() for one in made.frames([made.enlarge(moved)])]


def luma(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return frame[: frame.shape[0] * 2 // 3].astype(np.float32)


@pytest.fixture
def portrait(astronaut: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(astronaut.convert("RGB"))[:480, :480]


@pytest.mark.parametrize("tilt_deg", [-120, -25, 12, 45, 90])
def test_a_tilted_portrait_moves_as_the_upright_one(portrait: NDArray[np.uint8], tilt_deg: float) -> None:
    tilted = TiltedSquare(SQUARE, PIVOT, tilt_deg)
    matrix = TiltedSquare(Square(0, 0, 480), PIVOT, tilt_deg).to_frame
    # A smooth picture, so that turning it does not cost detail.
    picture = cv2.GaussianBlur(portrait, (0, 0), 2)
    leaning = cv2.warpAffine(picture, between_pixels(matrix), (480, 480), flags=cv2.INTER_CUBIC)
    inside = crop.Square(tilted.square.left + 24, tilted.square.top + 24, tilted.square.side - 48).inside(480, 480)
    moved, still = fields(), luma(upright(picture, fields(0.0, 0.0))[0])
    for one, other in zip(composed(leaning, tilted, moved), upright(picture, moved), strict=True):
        back = cv2.warpAffine(
            luma(one), between_pixels(matrix), (480, 480), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        error = np.abs(back - luma(other))[inside].mean()
        assert np.abs(luma(other) - still)[inside].mean() > 6
        assert error < 0.8


def test_pixels_outside_the_turned_square_are_unchanged(portrait: NDArray[np.uint8]) -> None:
    tilted = TiltedSquare(Square(300, 20, 160), (380.0, 108.0), 30)
    moved = fields()
    moved = moved._replace(generated=GeneratedPixels(torch.ones(2, 3, 128, 128), torch.ones(2, 1, 128, 128)))
    (result, _), (still, _) = composed(portrait, tilted, moved), composed(portrait, tilted, fields(0.0, 0.0))
    region = tilted.with_margins
    outside = cv2.warpAffine(np.ones((200, 200), np.uint8), between_pixels(region.to_frame), (480, 480)) == 0
    assert (luma(result)[outside] == luma(still)[outside]).all()
    middle = tilted.to_frame @ (80, 80, 1)
    assert luma(result)[int(middle[1]), int(middle[0])] >= 230


def test_fields_without_motion_change_no_pixel_of_a_tilted_face(portrait: NDArray[np.uint8]) -> None:
    tilted = TiltedSquare(Square(-40, 260, 240), (90.0, 390.0), -50)
    expected = upright(portrait, fields(0.0, 0.0))
    for one, other in zip(composed(portrait, tilted, fields(0.0, 0.0)), expected, strict=True):
        assert (one == other).all()
