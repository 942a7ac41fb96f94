"""Local contrast of a face: how much its lines and wrinkles differ from what is around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from dubline.worker.rendering.full_size.planes import MATRIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Side of a crop in the networks, at which it is measured, px.
SIDE_PX: Final = 256
#: Standard deviation of what is around a pixel: where contrast is measured, and where it is reduced, px of that side.
MEASURED_PX: Final = 4.0
REDUCED_PX: Final = 12.0
#: Median difference of a face's luma from what is around it, in levels. Of 24 photographs and paintings and 897
#: generated portraits three quarters have at most 7, and all but an engraving (16.1) and a face of wrinkles (15.2, two
#: copies of it) at most 13.
MOST: Final = 14.0
ORDINARY: Final = 7.0
#: Side at which what is around each pixel is computed, px.
AROUND_PX: Final = 64


def reduction(face: NDArray[np.uint8], side: int, gain: float) -> float:
    """Return the share of its local contrast with which the networks see a face: 1 of nearly all faces.

    Args:
        face: (h, w, 3) uint8 RGB, a part of a crop.
        side: of the crop, px.
        gain: light of the source over that of an ordinary picture.
    """
    height, width = (max(1, round(length * SIDE_PX / side)) for length in face.shape[:2])
    small = cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    luma = cv2.transform(small, MATRIX[:1, :3]) / np.float32(gain)
    contrast = float(np.median(np.abs(luma - cv2.GaussianBlur(luma, (0, 0), MEASURED_PX))))
    return ORDINARY / contrast if contrast > MOST else 1.0


def reduced(crop: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Keep a share of the local contrast of a crop, (side, side, 3) uint8 RGB."""
    small = cv2.resize(crop, (AROUND_PX, AROUND_PX), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), REDUCED_PX * AROUND_PX / SIDE_PX)
    around = cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    pixels: NDArray[np.uint8] = cv2.addWeighted(crop, share, around, 1 - share, 0).astype(np.uint8)
    return pixels
