"""Choice of one picture of an animation: the first one, unless the animation only begins there to fade in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

#: Formats of animations. A JPEG of several pictures is none: they are a preview, a depth map or another exposure.
FORMATS: Final = frozenset({"PNG", "WEBP", "AVIF"})
#: Pictures that are compared, at most; fewer if they are large.
COMPARED: Final = 50
COMPARED_PIXELS: Final = 100_000_000
#: The first picture with this share of the highest contrast is taken.
SHARE: Final = 0.8
#: Contrast is measured in copies of about this side.
SIDE_PX: Final = 64


def select(image: Image.Image) -> None:
    """Move an opened file to the picture that is used; a single picture stays as it is."""
    count = getattr(image, "n_frames", 1) if image.format in FORMATS else 1
    count = min(count, COMPARED, max(1, COMPARED_PIXELS // (image.width * image.height)))
    if count == 1:
        return
    contrasts = np.array([_contrast(image, number) for number in range(count)])
    image.seek(int(np.argmax(contrasts >= SHARE * contrasts.max())))


def _contrast(image: Image.Image, number: int) -> float:
    """Return the standard deviation of the brightness of one picture of an animation."""
    image.seek(number)
    factor = max(1, min(image.size) // SIDE_PX)
    return float(np.asarray(image.convert("RGB").reduce(factor).convert("L"), dtype=np.float64).std())
