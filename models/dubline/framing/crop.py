"""The square crop around a face that the networks animate, framed as in the training clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox

#: Measured with `face.find` on the first frames of 61 corpus clips: the box is .571 of the side (standard deviation
#: .06) and its centre is at (.503, .527) of it (standard deviation in y: .054). The eyes are .21 of the box above its
#: centre in the corpus and in photographs. Real hair is higher than the corpus's, so the crop is two thirds of a
#: standard deviation wider and half of one higher than the mean.
SIDE_PER_BOX: Final = 1 / 0.53
BOX_CENTRE_Y: Final = 0.55
#: The networks accept any square from 64 px. A multiple of 16 is divisible by all their strides.
STEP_PX: Final = 16
MIN_SIDE_PX: Final = 64
#: The margin above the square is this part of its side, so that the margins are whole pixels at all sides.
ABOVE: Final = 4
#: How far a head reaches from the middle of its face, in sides of the detector's box: up to its hair, and sideways.
HEAD_ABOVE: Final = 1.05
HEAD_BESIDE: Final = 0.7
#: Room between head and picture's edge in which a head moves freely, in the same unit: its motion in most frames.
ROOM: Final = 0.15
#: Share of its motion that a head keeps without any room. What it uncovers at the edge is stretched hair.
CRAMPED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a frame, in px; it may extend beyond the frame."""

    left: int
    """X of its left column."""
    top: int
    """Y of its upper row."""
    side: int
    """Its width and height."""

    @property
    def with_margins(self) -> Square:
        """The square in which a whole head can move: larger by `ABOVE` upwards and by half of it to either side.

        The hair of many heads is higher than the square that the networks are trained on.
        """
        above = self.side // ABOVE
        return Square(left=self.left - above // 2, top=self.top - above, side=self.side + above)

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a frame of this size that the square covers."""
        rows = slice(max(0, self.top), min(height, self.top + self.side))
        columns = slice(max(0, self.left), min(width, self.left + self.side))
        return rows, columns


def around(box: FaceBox) -> Square:
    """Frame a face as in the training clips.

    Args:
        box: the detector's box in px of the frame.

    Returns:
        The square to cut: its side is a multiple of `STEP_PX`, at least `MIN_SIDE_PX`; its corners are even.
    """
    side = max(MIN_SIDE_PX, STEP_PX * round(box.side * SIDE_PER_BOX / STEP_PX))
    x, y = box.centre
    # Even corners: video stores colour once per 2 x 2 px.
    left = 2 * round((x - side / 2) / 2)
    top = 2 * round((y - side * BOX_CENTRE_Y) / 2)
    return Square(left=left, top=top, side=side)


def head_room(box: FaceBox, width: int) -> float:
    """Return the share of its motion for which a head has room in a picture of this width, `CRAMPED` to 1."""
    x, y = box.centre
    nearest = min(y - HEAD_ABOVE * box.side, min(x, width - x) - HEAD_BESIDE * box.side)
    return CRAMPED + (1 - CRAMPED) * min(max(nearest / (ROOM * box.side), 0.0), 1.0)


def cut(frame: NDArray[np.uint8], square: Square) -> NDArray[np.uint8]:
    """Copy a square out of a frame; pixels outside the frame repeat its border.

    Args:
        frame: (H, W, 3) uint8.
        square: overlaps the frame.

    Returns:
        (side, side, 3) uint8.
    """
    height, width = frame.shape[:2]
    rows = np.clip(np.arange(square.top, square.top + square.side), 0, height - 1)
    columns = np.clip(np.arange(square.left, square.left + square.side), 0, width - 1)
    # Whole rows first: a gather of single pixels takes seven times as long.
    return np.ascontiguousarray(frame[rows].take(columns, axis=1))
