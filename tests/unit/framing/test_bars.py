from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dubline.framing.bars import picture_in

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


@pytest.fixture
def portrait(astronaut: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(astronaut.convert("RGB").crop((100, 0, 420, 320)))


def barred(
    picture: NDArray[np.uint8], top: int, right: int, colour: int, noise: np.random.Generator
) -> NDArray[np.uint8]:
    """Surround a picture by bars: `top` rows above and below, `right` columns to the right."""
    bars = np.pad(picture.astype(int), ((top, top), (0, right), (0, 0)), constant_values=colour)
    return np.clip(bars + noise.integers(-2, 3, bars.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_bars_of_any_colour_are_no_part_of_the_picture(
    portrait: NDArray[np.uint8], noise: np.random.Generator, colour: int
) -> None:
    rows, columns = picture_in(barred(portrait, 41, 60, colour, noise), (160, 200))
    assert (rows.start, rows.stop) == (42, 360)
    assert (columns.start, columns.stop) == (0, 320)


def test_a_bar_with_a_blurred_edge_and_few_other_pixels_is_one(
    portrait: NDArray[np.uint8], noise: np.random.Generator
) -> None:
    frame = barred(portrait, 40, 0, 0, noise)
    # The edges of a bar in a video, and a line of letters.
    for first, last in ((36, 48), (351, 363)):
        frame[first:last] = np.linspace(frame[first], frame[last], last - first)
    frame[20, 100:103] = 200
    rows, _ = picture_in(frame, (160, 200))
    assert 36 <= rows.start <= 40
    assert 360 <= rows.stop <= 364


def test_a_picture_without_bars_is_whole(portrait: NDArray[np.uint8]) -> None:
    assert picture_in(portrait, (160, 160)) == (slice(0, 320), slice(0, 320))


def test_a_plain_background_is_no_bar(noise: np.random.Generator) -> None:
    scene = np.full((200, 160, 3), 20)
    y, x = np.mgrid[:200, :160]
    scene[np.hypot(y - 150, x - 80) < 60] = 150
    scene = (scene + noise.integers(0, 3, scene.shape)).astype(np.uint8)
    assert picture_in(scene, (80, 150)) == (slice(0, 200), slice(0, 160))


def test_a_picture_of_one_colour_is_whole() -> None:
    assert picture_in(np.zeros((64, 48, 3), np.uint8), (24, 32)) == (slice(0, 64), slice(0, 48))


@pytest.mark.parametrize("middle", [(160, 20), (160, 381), (350, 200)])
def test_a_bar_that_reaches_the_middle_of_the_face_is_none(
    portrait: NDArray[np.uint8], noise: np.random.Generator, middle: tuple[int, int]
) -> None:
    frame = barred(portrait, 42, 60, 255, noise)
    rows, columns = picture_in(frame, middle)
    assert rows.start <= middle[1] < rows.stop
    assert columns.start <= middle[0] < columns.stop
    # The other bars are none of the picture.
    assert (rows.stop - rows.start < len(frame)) + (columns.stop < frame.shape[1]) == (1 if middle[0] == 350 else 2)


def test_bars_around_two_rows_leave_a_picture() -> None:
    frame = np.zeros((12, 400, 3), np.uint8)
    frame[5:7] = 255
    for y in range(12):
        rows, columns = picture_in(frame, (200, y))
        assert rows.start <= y < rows.stop
        assert columns == slice(0, 400)
