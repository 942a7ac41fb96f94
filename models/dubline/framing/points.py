"""Five points of a face, and what of it can be seen: a small network, computed with numpy.

The prober has neither torch nor threads. Trained on renderings with exact points and on drawn portraits of
nobody with those of MediaPipe's face mesh, under rotations, light, noise, and shapes that cover parts of the face.
`README.md` says more.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
import numpy as np
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dubline.framing.face import FaceBox

WEIGHTS: Final = Path(__file__).with_name("points.safetensors")
#: Side of the network's input, and what it shows in sides of the face's box.
SIDE_PX: Final = 64
SHOWN: Final = 1.6
#: The face is reduced to this width before it is sampled, as in training, so that no detail is skipped.
REDUCED_FACE_PX: Final = 62.0
#: Stride of each 3 x 3 convolution.
STRIDES: Final = (2, 2, 1, 2, 1, 2)


class Reading(NamedTuple):
    """What the network reads in a picture of one face."""

    points: NDArray[np.float32]
    """(5, 2), x and y in px: the eyes, the tip of the nose and the corners of the mouth, each from left to right."""
    eyes: tuple[float, float]
    """How much of each eye is seen, 0 to 1."""
    mouth: float
    """How much of the mouth is seen, 0 to 1."""
    face: float
    """Confidence that this is a face, upright within 40 degrees: 0 to 1."""


def read(picture: NDArray[np.uint8], box: FaceBox, tilt_deg: float = 0.0) -> Reading:
    """Read a face.

    Args:
        picture: (H, W, 3) uint8 RGB.
        box: of the face.
        tilt_deg: the face is sampled upright if it leans by this much clockwise.
    """
    pixels, to_picture = _sample(picture, box, tilt_deg)
    output = _compute(pixels)
    points = (output[:10].reshape(5, 2) + 0.5) * SIDE_PX
    left, right, mouth, face = (1 / (1 + math.exp(-min(50.0, max(-50.0, float(value))))) for value in output[10:])
    in_picture = points @ to_picture[:, :2].T + to_picture[:, 2]
    return Reading(in_picture.astype(np.float32), (left, right), mouth, face)


def _sample(picture: NDArray[np.uint8], box: FaceBox, tilt_deg: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut the face out, upright; return it and the map from its positions to the picture's."""
    x, y = box.centre
    # The corners of the tilted square are .71 of its side away.
    reach = math.ceil(0.75 * SHOWN * box.side)
    height, width = picture.shape[:2]
    left, top = (min(max(0, math.floor(at) - reach), most - 1) for at, most in ((x, width), (y, height)))
    right, bottom = (
        max(low + 1, min(most, math.ceil(at) + reach)) for low, at, most in ((left, x, width), (top, y, height))
    )
    window = picture[top:bottom, left:right]
    reduction = min(1.0, REDUCED_FACE_PX / box.side)
    size = tuple(max(1, round(side * reduction)) for side in (right - left, bottom - top))
    reduced = cv2.resize(window, size, interpolation=cv2.INTER_AREA) if reduction < 1 else window
    to_picture = _placed(SHOWN * box.side / SIDE_PX, tilt_deg, (x, y))
    share = np.array([size[0] / (right - left), size[1] / (bottom - top)])
    to_window = (to_picture - [[0, 0, left], [0, 0, top]]) * share[:, None]
    to_window[:, 2] += to_window[:, :2].sum(axis=1) / 2 - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(reduced, to_window, (SIDE_PX, SIDE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return pixels, to_picture


def _placed(scale: float, tilt_deg: float, centre: tuple[float, float]) -> NDArray[np.float64]:
    """Return the map from positions in the input to the picture, (2, 3)."""
    angle = math.radians(tilt_deg)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    rotation = np.array([[cos, -sin], [sin, cos]])
    middle = np.array(centre) - rotation @ (SIDE_PX / 2, SIDE_PX / 2)
    return np.column_stack([rotation, middle])


def _compute(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the ten coordinates and the four logits."""
    weights = load()
    values = pixels.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    for number, stride in enumerate(STRIDES):
        values = _convolved(values, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"], stride)
    hidden = np.maximum(weights["hidden.weight"] @ values.reshape(-1) + weights["hidden.bias"], 0)
    output: NDArray[np.float32] = weights["output.weight"] @ hidden + weights["output.bias"]
    return output


def _convolved(
    values: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], stride: int
) -> NDArray[np.float32]:
    """Convolve (C, H, W) with (O, C, 3, 3), padded by zeros; negative results become 0."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    result: NDArray[np.float32] = np.einsum("ochw,cyxhw->oyx", weight, windows, optimize=True)
    result += bias[:, None, None]
    np.maximum(result, 0, out=result)
    return result


@cache
def load() -> Mapping[str, NDArray[np.float32]]:
    """Read the network from its file, once; a process that gives up its files calls this before it does."""
    return {name: value.astype(np.float32) for name, value in load_file(WEIGHTS).items()}
