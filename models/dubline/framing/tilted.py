"""A square around a tilted face: rotated with the face, so that the networks see the face upright."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dubline.framing.crop import Square

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TiltedSquare:
    """A square that is rotated in its frame."""

    square: Square
    """Where the square would be if the face were upright."""
    pivot: tuple[float, float]
    """(x, y) about which it is rotated, px of the frame: the centre of the face."""
    tilt_deg: float
    """Clockwise, degrees."""

    @property
    def to_frame(self) -> NDArray[np.float64]:
        """The map from the tilted square to the frame, (2, 3), both in px from the upper left corner."""
        angle = math.radians(self.tilt_deg)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        pivot = np.array(self.pivot)
        corner = pivot + rotation @ (np.array([self.square.left, self.square.top]) - pivot)
        return np.column_stack([rotation, corner])

    @property
    def with_margins(self) -> TiltedSquare:
        """The tilted square in which a whole head can move."""
        return replace(self, square=self.square.with_margins)

    @property
    def around(self) -> Square:
        """The smallest upright square of the frame with even corners that contains the tilted one."""
        side = self.square.side
        x, y = self.to_frame @ (side / 2, side / 2, 1)
        angle = math.radians(self.tilt_deg)
        half = side * (abs(math.cos(angle)) + abs(math.sin(angle))) / 2
        left, top = (2 * math.floor((centre - half) / 2) for centre in (x, y))
        return Square(left=left, top=top, side=2 * math.ceil(max(x + half - left, y + half - top) / 2))

    def cut(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Copy the tilted square out of a frame, the face upright; pixels outside the frame repeat its border.

        Args:
            frame: (H, W, 3) uint8.

        Returns:
            (side, side, 3) uint8.
        """
        size = (self.square.side, self.square.side)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        pixels: NDArray[np.uint8] = cv2.warpAffine(
            frame, between_pixels(self.to_frame), size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return pixels


def between_pixels(of_corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert an affine map of positions to OpenCV's, which counts from the centre of the first pixel."""
    matrix = of_corners.copy()
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    return matrix
