"""Cuts the square out of a photograph that the product would animate."""

from __future__ import annotations

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
#: Larger squares are shrunk, so that memory and minutes stay bounded.
MAX_SIDE_PX: Final = 512
#: Where the mouth lies in the detector's box, as shares of its side: half of its width, the third quarter downwards
#: and some of the chin that an open mouth needs.
MOUTH_X: Final = (0.25, 0.75)
MOUTH_Y: Final = (0.62, 0.98)


@dataclass(frozen=True)
class Portrait:
    """A photograph's square (S, S, 3) uint8 and its face in it."""

    name: str
    picture: NDArray[np.uint8]
    face: FaceBox


def read_portrait(path: Path) -> Portrait | None:
    """Cut the square around a photograph's most prominent face; None when the product would find none."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    return cut_portrait(path.name, image)


def cut_portrait(name: str, image: Image.Image) -> Portrait | None:
    """The same for an RGB image of any size."""
    found = find(image)
    if found is None:
        return None
    square = around(found)
    picture = cut(np.asarray(image), square)
    scale = min(1.0, MAX_SIDE_PX / square.side)
    if scale < 1:
        picture = np.asarray(Image.fromarray(picture).resize((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS))
    face = found.shifted(-square.left, -square.top).scaled(scale)
    return Portrait(name, np.ascontiguousarray(picture), face)


def follow(face: FaceBox, picture: NDArray[np.uint8]) -> FaceBox | None:
    """Where a source's face has moved to in a rendered picture (S, S, 3); None if none is found there.

    Its size stays: the detector knows that less well than the place.
    """
    found = find(Image.fromarray(picture))
    if found is None:
        return None
    (x, y), (source_x, source_y) = found.centre, face.centre
    return face.shifted(x - source_x, y - source_y)


def sharpness_of(picture: NDArray[np.uint8], face: FaceBox) -> dict[str, float]:
    """Sharpness of a picture's face, and of its mouth."""
    return {name: sharpness(picture, box) for name, box in boxes_of(face).items()}


def boxes_of(face: FaceBox) -> dict[str, Box]:
    """Where sharpness is measured: rows and columns of the whole face, and of its mouth."""
    return {"face": _share(face, (0, 1), (0, 1)), "mouth": _share(face, MOUTH_X, MOUTH_Y)}


def _share(face: FaceBox, x: tuple[float, float], y: tuple[float, float]) -> Box:
    left, right = (max(0, round(face.left + share * face.side)) for share in x)
    top, bottom = (max(0, round(face.top + share * face.side)) for share in y)
    return slice(top, bottom), slice(left, right)
