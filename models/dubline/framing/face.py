"""Finds the speaker's face in a portrait with dlib's HOG detector, which carries its weights in its code.

The detector slides an 80 px window over a pyramid of steps of 5/6, so one look knows a face's size to some
10 % only. Once found, the face is looked at again at three sizes between two steps, and the boxes are
averaged: over 61 corpus frames that cut the spread of box over landmark height from 9.6 % to 6.2 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import dlib
import numpy as np
from PIL import Image

#: Sides of the copies that are searched, smallest first: 80 px of 2560 px is a face of 3 % of the width.
SEARCH_SIDES_PX: Final = (640, 1280, 2560)
MAX_ENLARGEMENT: Final = 4.0
#: A second look makes the face about this wide, times each of the three factors between two pyramid steps.
REFINED_FACE_PX: Final = 160.0
REFINED_STEPS: Final = (0.88, 1.0, 1.137)


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face in an image, in px of that image; the box may reach over the image's edges."""

    left: float
    """X of the left side."""
    top: float
    """Y of the upper side."""
    right: float
    """X of the right side."""
    bottom: float
    """Y of the lower side."""

    @property
    def side(self) -> float:
        """Mean of width and height, px."""
        return (self.right - self.left + self.bottom - self.top) / 2

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y), px."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def scaled(self, factor: float) -> FaceBox:
        """The same face in the image made `factor` times as large."""
        return FaceBox(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)

    def shifted(self, dx: float, dy: float) -> FaceBox:
        """The same face with the origin moved by (-dx, -dy) px."""
        return FaceBox(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)


def find(image: Image.Image) -> FaceBox | None:
    """Find the largest, most central face that looks at the camera.

    Args:
        image: RGB, any size.

    Returns:
        Its box in px of `image`; None if there is no face at any size.
    """
    longest = max(image.size)
    for side in SEARCH_SIDES_PX:
        scale = min(side / longest, MAX_ENLARGEMENT)
        boxes = _detect(image, scale)
        if boxes:
            return _refine(image, max(boxes, key=lambda box: _prominence(box, image.size)))
        if scale == MAX_ENLARGEMENT:
            break
    return None


def _detect(image: Image.Image, scale: float) -> list[FaceBox]:
    """Look for faces in a copy `scale` times as large; boxes are in px of `image`."""
    width, height = (max(1, round(side * scale)) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0))
    found = _detector()(pixels, 0)
    return [FaceBox(box.left(), box.top(), box.right() + 1, box.bottom() + 1).scaled(1 / scale) for box in found]


def _prominence(box: FaceBox, size: tuple[int, int]) -> float:
    """Area of a face, less up to a half of it the farther it is from the middle of the picture."""
    x, y = box.centre
    away = math.hypot(2 * x / size[0] - 1, 2 * y / size[1] - 1) / math.sqrt(2)
    return box.side**2 * (1 - min(away, 1.0) / 2)


def _refine(image: Image.Image, box: FaceBox) -> FaceBox:
    """Look again at one face alone, at three sizes, and averages what agrees with the first look."""
    x, y = box.centre
    left, top = (max(0, round(centre - box.side)) for centre in (x, y))
    right, bottom = (min(end, round(centre + box.side)) for end, centre in zip(image.size, (x, y), strict=True))
    window = image.crop((left, top, right, bottom))
    seen = [
        face.shifted(left, top) for step in REFINED_STEPS for face in _detect(window, REFINED_FACE_PX * step / box.side)
    ]
    same = [face for face in seen if _is_same(face, box)] or [box]
    return FaceBox(*np.mean([[face.left, face.top, face.right, face.bottom] for face in same], axis=0).tolist())


def _is_same(face: FaceBox, other: FaceBox) -> bool:
    apart = math.dist(face.centre, other.centre) / other.side
    return apart < 1 / 3 and 2 / 3 < face.side / other.side < 3 / 2


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()
