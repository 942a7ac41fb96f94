from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.framing import crop
from dubline.framing.face import FaceBox


@given(left=st.floats(-200, 2000), top=st.floats(-200, 2000), width=st.floats(32, 1080), stretch=st.floats(0.8, 1.2))
def test_a_square_is_even_divisible_and_contains_the_face(
    left: float, top: float, width: float, stretch: float
) -> None:
    box = FaceBox(left, top, left + width, top + width * stretch)
    square = crop.around(box)
    assert square.side >= crop.MIN_SIDE_PX
    assert square.side % crop.STEP_PX == 0
    assert square.left % 2 == square.top % 2 == 0
    assert square.left <= box.left
    assert square.left + square.side >= box.right
    assert square.top <= box.top
    assert square.top + square.side >= box.bottom


def test_the_box_is_placed_in_the_square_as_in_the_training_clips() -> None:
    box = FaceBox(400, 300, 600, 500)
    square = crop.around(box)
    assert abs(box.side / square.side - 0.53) < 0.03
    assert abs((box.centre[0] - square.left) / square.side - 0.5) < 0.01
    assert abs((box.centre[1] - square.top) / square.side - 0.55) < 0.01


@pytest.mark.parametrize(
    ("x", "y", "expected"), [(500, 400, 1.0), (500, 210, 0.5), (500, 225, 0.75), (130, 400, 0.5), (945, 400, 0.5)]
)
def test_a_head_at_an_edge_of_the_picture_moves_less(x: float, y: float, expected: float) -> None:
    box = FaceBox(x - 100, y - 100, x + 100, y + 100)
    assert crop.head_room(box, 1000) == pytest.approx(expected)


def test_a_square_inside_the_frame_is_copied(noise: np.random.Generator) -> None:
    frame = noise.integers(0, 256, (100, 120, 3), dtype=np.uint8)
    assert (crop.cut(frame, crop.Square(10, 20, 64)) == frame[20:84, 10:74]).all()


@given(left=st.integers(-70, 110), top=st.integers(-70, 90))
def test_pixels_outside_the_frame_repeat_the_nearest_pixel(left: int, top: int) -> None:
    frame = np.arange(100 * 120 * 3, dtype=np.uint32).reshape(100, 120, 3).astype(np.uint8)
    square = crop.Square(left, top, 64)
    picture = crop.cut(frame, square)
    assert picture.shape == (64, 64, 3)
    for y, x in ((0, 0), (0, 63), (63, 0), (63, 63), (31, 17)):
        nearest = frame[min(max(top + y, 0), 99), min(max(left + x, 0), 119)]
        assert (picture[y, x] == nearest).all()
