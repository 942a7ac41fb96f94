"""The still frame that a portrait becomes in its video: within 1080 x 1920, of even sides for H.264."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORT_SIDE_PX: Final = 1080
LONG_SIDE_PX: Final = 1920


def scale(width: int, height: int) -> float:
    """By how much a portrait of that size in px is shrunk for its video, at most 1."""
    return min(1.0, SHORT_SIDE_PX / min(width, height), LONG_SIDE_PX / max(width, height))


def size(width: int, height: int) -> tuple[int, int]:
    """Width and height in px, each even, of the video made from an upright portrait of that size."""
    factor = scale(width, height)
    return max(2, 2 * round(width * factor / 2)), max(2, 2 * round(height * factor / 2))


def still(portrait: Image.Image) -> NDArray[np.uint8]:
    """Scale an upright RGB portrait to its video's frame, (H, W, 3) uint8."""
    target = size(*portrait.size)
    scaled = portrait if target == portrait.size else portrait.resize(target, Image.Resampling.LANCZOS)
    return np.array(scaled, dtype=np.uint8)
