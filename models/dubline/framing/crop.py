"""Cuts the square around a face that the networks animate, framed as in the clips they were trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox

#: Measured with `face.find` on the first frames of 61 corpus clips: the box is .571 of the side (standard
#: deviation .06), its centre lies at (.503, .527) of it (y: .054). Eyes sit in the box alike in the corpus and
#: in photographs (.21 of the box above its centre in both). Living hair stands higher than the corpus's, so a
#: crop is two thirds of a deviation wider and half of one higher up than the mean: room above the head.
SIDE_PER_BOX: Final = 1 / 0.53
BOX_CENTRE_Y: Final = 0.55
#: The networks take any square from 64 px; a multiple of 16 divides by every stride in them.
STEP_PX: Final = 16
MIN_SIDE_PX: Final = 64


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a frame, px; it may reach over the frame's edges."""

    left: int
    """X of its left column."""
    top: int
    """Y of its upper row."""
    side: int
    """Its width and height."""

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of a frame of that size which the square covers."""
        rows = slice(max(0, self.top), min(height, self.top + self.side))
        columns = slice(max(0, self.left), min(width, self.left + self.side))
        return rows, columns


def around(box: FaceBox) -> Square:
    """Frame a face as the corpus does.

    Args:
        box: the detector's box in px of the frame.

    Returns:
        The square to cut: of `MIN_SIDE_PX` or more, a multiple of `STEP_PX`, with even corners.
    """
    side = max(MIN_SIDE_PX, STEP_PX * round(box.side * SIDE_PER_BOX / STEP_PX))
    x, y = box.centre
    # Even corners: a frame's colours are stored once per 2 x 2 px.
    left = 2 * round((x - side / 2) / 2)
    top = 2 * round((y - side * BOX_CENTRE_Y) / 2)
    return Square(left=left, top=top, side=side)


def cut(frame: NDArray[np.uint8], square: Square) -> NDArray[np.uint8]:
    """Copy a square out of a frame; what lies outside repeats the frame's outermost pixels.

    Args:
        frame: (H, W, 3) uint8.
        square: touches the frame.

    Returns:
        (side, side, 3) uint8.
    """
    height, width = frame.shape[:2]
    rows = np.clip(np.arange(square.top, square.top + square.side), 0, height - 1)
    columns = np.clip(np.arange(square.left, square.left + square.side), 0, width - 1)
    return np.ascontiguousarray(frame[rows[:, None], columns[None, :]])
