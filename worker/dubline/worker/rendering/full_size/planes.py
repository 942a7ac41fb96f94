"""Planes of pixels as the encoder takes them: luma at full size, both chroma planes at half of it, 8 bits, BT.709.

Limited range: luma is in [16, 235], chroma in [16, 240] with 128 for grey. A frame is one array of I420: H rows of
luma, then both chroma planes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Weights of red and blue in luma (ITU-R BT.709).
RED: Final = 0.2126
BLUE: Final = 0.0722
GREEN: Final = 1 - RED - BLUE
#: Luma, blue and red difference of linear 0 to 255 RGB: (3, 4), the last column is the offset.
MATRIX: Final = np.array(
    [
        [219 * RED / 255, 219 * GREEN / 255, 219 * BLUE / 255, 16],
        [-112 * RED / (1 - BLUE) / 255, -112 * GREEN / (1 - BLUE) / 255, 112 / 255, 128],
        [112 / 255, -112 * GREEN / (1 - RED) / 255, -112 * BLUE / (1 - RED) / 255, 128],
    ],
    dtype=np.float32,
)
#: Rows that are converted at a time, so that memory does not follow the picture's height; even.
BAND_ROWS: Final = 64


class Planes(NamedTuple):
    """A picture as luma and chroma, not rounded."""

    luma: NDArray[np.float32]
    """(H, W)."""
    chroma: NDArray[np.float32]
    """(H / 2, W / 2, 2), blue difference first."""


def split(picture: NDArray[np.uint8]) -> Planes:
    """Convert RGB (H, W, 3) of even sides. Chroma is the mean of 2 x 2 px."""
    height, width = picture.shape[:2]
    planes = Planes(
        np.empty((height, width), dtype=np.float32), np.empty((height // 2, width // 2, 2), dtype=np.float32)
    )
    for first in range(0, height, BAND_ROWS):
        # OpenCV rounds the last pixels of a call otherwise: they are those of the picture, or of rows that are dropped.
        band = picture[first : first + BAND_ROWS + 2]
        both = cv2.transform(band.astype(np.float32), MATRIX)
        chroma = cv2.resize(both[..., 1:], (width // 2, len(band) // 2), interpolation=cv2.INTER_AREA)
        planes.luma[first : first + BAND_ROWS] = both[:BAND_ROWS, :, 0]
        planes.chroma[first // 2 : (first + BAND_ROWS) // 2] = chroma[: BAND_ROWS // 2]
    return planes


class Frame:
    """One frame of I420, with a view of each plane.

    Args:
        height: even, px.
        width: even, px.
    """

    def __init__(self, height: int, width: int) -> None:
        self.buffer: NDArray[np.uint8] = np.empty((height * 3 // 2, width), dtype=np.uint8)
        """(3 H / 2, W), what the encoder reads."""
        self.luma = self.buffer[:height]
        """(H, W)."""
        self.chroma = self.buffer[height:].reshape(2, height // 2, width // 2)
        """(2, H / 2, W / 2)."""


def rounded(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to 8 bits."""
    pixels: NDArray[np.uint8] = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    return pixels
