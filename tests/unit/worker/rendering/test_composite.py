from __future__ import annotations

import numpy as np
import pytest
import torch

from dubline.framing import crop
from dubline.framing.crop import Square
from dubline.worker.rendering import composite
from dubline.worker.rendering.composite import Compositor

SQUARES = [Square(20, 30, 64), Square(-10, -20, 96), Square(100, 60, 80), Square(-20, -20, 256), Square(0, 0, 64)]
CPU = torch.device("cpu")


def as_crop(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


def one(frame: np.ndarray, square: Square, rendered: torch.Tensor) -> np.ndarray:
    (result,) = Compositor(frame, square, CPU).frames([rendered])
    return result


@pytest.fixture
def frame(noise: np.random.Generator) -> np.ndarray:
    return noise.integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.mark.parametrize("square", SQUARES)
def test_compositing_the_source_crop_changes_no_pixel(frame: np.ndarray, square: Square) -> None:
    assert (one(frame, square, as_crop(crop.cut(frame, square))) == frame).all()


@pytest.mark.parametrize("square", SQUARES)
def test_pixels_outside_the_square_are_unchanged(frame: np.ndarray, square: Square) -> None:
    result = one(frame, square, torch.ones(1, 3, square.side, square.side))
    outside = np.ones(frame.shape[:2], dtype=bool)
    outside[square.inside(*frame.shape[:2])] = False
    assert (result[outside] == frame[outside]).all()


@pytest.mark.parametrize("square", SQUARES)
def test_the_middle_of_the_square_is_the_rendered_crop(
    frame: np.ndarray, square: Square, noise: np.random.Generator
) -> None:
    pixels = noise.integers(0, 256, (square.side, square.side, 3), dtype=np.uint8)
    result = one(frame, square, as_crop(pixels))
    margin = round(square.side * composite.FEATHER) + 1
    core = Square(square.left + margin, square.top + margin, square.side - 2 * margin)
    rows, columns = core.inside(*frame.shape[:2])
    expected = pixels[
        rows.start - square.top : rows.stop - square.top,
        columns.start - square.left : columns.stop - square.left,
    ]
    assert (result[rows, columns] == expected).all()


def test_the_border_fades_without_a_step() -> None:
    frame = np.zeros((300, 300, 3), dtype=np.uint8)
    square = Square(50, 50, 192)
    row = one(frame, square, torch.ones(1, 3, 192, 192))[146, :, 0].astype(int)
    assert row[50] == 0
    assert row[146] == 255
    assert np.abs(np.diff(row)).max() <= 255 * 1.6 / (192 * composite.FEATHER)


def test_a_side_on_the_edge_of_the_frame_does_not_fade() -> None:
    alpha = composite.feather(Square(0, 40, 64), 104, 200)
    assert alpha[32, 0] == 1  # left edge of the frame
    assert alpha[-1, 32] == 1  # lower edge
    assert alpha[0, 32] == 0
    assert alpha[32, -1] == 0


def test_values_beyond_the_range_are_clamped(frame: np.ndarray) -> None:
    result = one(frame, Square(20, 30, 64), torch.full((1, 3, 64, 64), 5.0))
    assert (result[62, 52] == 255).all()


def test_the_frames_of_a_batch_keep_their_order(frame: np.ndarray) -> None:
    levels = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 64, 64)
    compositor = Compositor(frame, Square(20, 30, 64), CPU)
    seen = [int(result[62, 52, 0]) for result in compositor.frames(levels.split(2))]
    assert seen == [0, 64, 128, 191, 255]
