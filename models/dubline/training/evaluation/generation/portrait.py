"""Cuts the square out of a photograph in the same way as the worker does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageOps

from dubline.framing.crop import around, cut
from dubline.framing.face import FaceBox, find
from dubline.training.evaluation.scores.sharpness import sharpness

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.evaluation.scores.sharpness import Box

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
#: Larger squares are scaled down to limit memory and time.
MAX_SIDE_PX: Final = 512
#: Mouth box inside the detector's face box, as shares of its side: the middle half in width, the third quarter in
#: height and part of the chin that an open mouth needs.
MOUTH_X: Final = (0.25, 0.75)
MOUTH_Y: Final = (0.62, 0.98)


@dataclass(frozen=True)
class Portrait:
    """A photograph, the square around its face, and the face."""

    name: str
    still: NDArray[np.uint8]
    """(H, W, 3) uint8, the whole picture at the size of the square, of even sides."""
    face_in_still: FaceBox
    """In px of it."""
    picture: NDArray[np.uint8]
    """(S, S, 3) uint8, the square."""
    face: FaceBox
    """In px of the square."""


def unique_name(path: Path) -> str:
    """Return a file name without suffix: pictures of several folders may have equal names."""
    return f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:6]}"


def read_portrait(path: Path) -> Portrait | None:
    """Cut the square around the most prominent face of a photograph; None if no face is found."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    return cut_portrait(path.name, image)


def cut_portrait(name: str, image: Image.Image) -> Portrait | None:
    """Cut the square out of an RGB image of any size; None if no face is found."""
    found = find(image)
    if found is None:
        return None
    scale = min(1.0, MAX_SIDE_PX / around(found).side)
    width, height = (2 * max(1, int(side * scale / 2)) for side in image.size)
    if scale < 1:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    still = np.ascontiguousarray(np.asarray(image)[:height, :width])
    face = found.scaled(scale)
    square = around(face)
    return Portrait(name, still, face, cut(still, square), face.shifted(-square.left, -square.top))


def follow(face: FaceBox, picture: NDArray[np.uint8]) -> FaceBox | None:
    """Return the source's face box at its position in a rendered frame (S, S, 3); None if no face is found.

    The size is kept: the detector's size is less accurate than its position.
    """
    found = find(Image.fromarray(picture))
    if found is None:
        return None
    (x, y), (source_x, source_y) = found.centre, face.centre
    return face.shifted(x - source_x, y - source_y)


def sharpness_of(picture: NDArray[np.uint8], face: FaceBox) -> dict[str, float]:
    """Measure the sharpness of a frame's face and mouth."""
    return {name: sharpness(picture, box) for name, box in boxes_of(face).items()}


def boxes_of(face: FaceBox) -> dict[str, Box]:
    """Return the rows and columns of the face and of the mouth."""
    return {"face": _box(face, (0, 1), (0, 1)), "mouth": _box(face, MOUTH_X, MOUTH_Y)}


def _box(face: FaceBox, x: tuple[float, float], y: tuple[float, float]) -> Box:
    left, right = (max(0, round(face.left + share * face.side)) for share in x)
    top, bottom = (max(0, round(face.top + share * face.side)) for share in y)
    return slice(top, bottom), slice(left, right)
