from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dubline.framing import crop
from dubline.framing.crop import Square
from dubline.framing.tilted import TiltedSquare

SQUARE = Square(180, 160, 128)
PIVOT = (244.0, 231.0)


def page(astronaut: Image.Image) -> Image.Image:
    return astronaut.convert("RGB").resize((480, 480), Image.Resampling.LANCZOS)


def tilted(picture: Image.Image, tilt_deg: float) -> np.ndarray:
    # Pillow turns anticlockwise.
    return np.asarray(picture.rotate(-tilt_deg, Image.Resampling.BICUBIC, center=PIVOT))


@pytest.mark.parametrize("tilt_deg", [-130, -25, 10, 45, 90, 180])
def test_the_turned_square_of_a_tilted_picture_is_upright(astronaut: Image.Image, tilt_deg: float) -> None:
    upright = crop.cut(np.asarray(page(astronaut)), SQUARE)
    found = TiltedSquare(SQUARE, PIVOT, tilt_deg).cut(tilted(page(astronaut), tilt_deg))
    assert np.abs(found.astype(int) - upright).mean() < 4


@given(tilt_deg=st.floats(-180, 180), left=st.integers(-50, 300), side=st.integers(4, 40))
def test_the_square_around_contains_all_corners_and_is_even(tilt_deg: float, left: int, side: int) -> None:
    square = Square(2 * left, 100, 16 * side)
    tilted = TiltedSquare(square, (square.left + square.side * 0.5, 100 + square.side * 0.55), tilt_deg)
    around = tilted.around
    assert around.left % 2 == around.top % 2 == around.side % 2 == 0
    for x, y in ((0, 0), (square.side, 0), (0, square.side), (square.side, square.side)):
        at = tilted.to_frame @ (x, y, 1)
        assert around.left - 1e-6 <= at[0] <= around.left + around.side + 1e-6
        assert around.top - 1e-6 <= at[1] <= around.top + around.side + 1e-6
    assert around.side <= square.side * 2**0.5 + 4


def test_a_tilt_by_nothing_is_the_square_itself(noise: np.random.Generator) -> None:
    frame = noise.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    tilted = TiltedSquare(Square(-10, 20, 64), (20.0, 55.0), 0.0)
    assert tilted.around == tilted.square
    assert (tilted.cut(frame) == crop.cut(frame, tilted.square)).all()
