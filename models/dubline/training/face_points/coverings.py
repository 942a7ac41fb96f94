"""Shapes that cover parts of a face, and edges of pictures that cut it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from dubline.framing.points import SIDE_PX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Share of samples with shapes, and with an edge.
SHAPED: Final = 0.7
CUT_OFF: Final = 0.25
#: Share of the shapes that have the colour of the skin, as hands have.
SKIN: Final = 0.25


def covered(
    picture: NDArray[np.uint8],
    points: NDArray[Any],
    others: Sequence[NDArray[np.uint8]],
    random: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cover parts of a face.

    Args:
        picture: (SIDE_PX, SIDE_PX, 3).
        points: (5, 2), in px of it.
        others: pictures that shapes are cut from.
        random: source of all choices.

    Returns:
        The picture, and which of its pixels are covered.
    """
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    result = picture
    if random.random() < SHAPED:
        for _ in range(random.integers(1, 3)):
            shape = _shape(points, random)
            soft = cv2.GaussianBlur(shape, (0, 0), 0.7)[..., None] / 255
            filling = _skin(picture, points, random) if random.random() < SKIN else _texture(others, random)
            result = (result * (1 - soft) + filling * soft).astype(np.uint8)
            mask |= shape
    if random.random() < CUT_OFF:
        result, beyond = _cut_off(result, random)
        mask |= beyond
    return result, mask > 127  # noqa: PLR2004 - half of 255


def visible(points: NDArray[Any], hidden: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the visible shares of the left eye, the right eye and the mouth; what is outside is not visible."""
    eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    length = float(np.hypot(*(eyes - mouth)))
    width = max(float(np.hypot(*(points[3] - points[4]))), 0.6 * length) * 1.1
    angle = float(np.degrees(np.arctan2(*(points[4] - points[3])[::-1])))
    sizes = ((0.42 * length, 0.26 * length), (0.42 * length, 0.26 * length), (width, 0.6 * width))
    shares = []
    for centre, size in zip((points[0], points[1], mouth), sizes, strict=True):
        part = np.zeros(hidden.shape, np.uint8)
        cv2.ellipse(part, (tuple(map(float, centre)), size, angle), 1, -1)
        shares.append(1 - hidden[part > 0].mean() if part.any() else 0.0)
    # A little is not worth a warning, and most is as bad as all.
    return np.asarray(np.clip((np.array(shares, np.float32) - 0.25) / 0.5, 0, 1))


def _shape(points: NDArray[Any], random: np.random.Generator) -> NDArray[np.uint8]:
    eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    length = float(np.hypot(*(eyes - mouth)))
    places = (mouth, points[int(random.integers(2))], eyes, random.uniform(0, SIDE_PX, 2))
    at = places[random.choice(4, p=(0.45, 0.2, 0.07, 0.28))] + random.normal(0, 0.25 * length, 2)
    size, angle = length * np.exp(random.normal(-0.1, 0.5, 2)), random.uniform(0, 180)
    shape = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    box = (tuple(map(float, at)), tuple(map(float, size * 1.7)), angle)
    if random.random() < 0.5:  # noqa: PLR2004 - even odds
        cv2.fillPoly(shape, [cv2.boxPoints(box).astype(np.int32)], 255)
    else:
        cv2.ellipse(shape, box, 255, -1)
    return shape


def _texture(others: Sequence[NDArray[np.uint8]], random: np.random.Generator) -> NDArray[Any]:
    """Return a plain colour, a gradient, coarse noise, or a part of another picture."""
    kind, size = random.integers(4), (SIDE_PX, SIDE_PX)
    if kind == 0:
        return np.broadcast_to(random.uniform(0, 256, 3), (*size, 3))
    if kind == 1:
        one, other, ramp = *random.uniform(0, 256, (2, 3)), np.linspace(0, 1, SIDE_PX)[:, None]
        gradient = np.broadcast_to(one * (1 - ramp) + other * ramp, (*size, 3))
        return gradient if random.random() < 0.5 else gradient.transpose(1, 0, 2)  # noqa: PLR2004 - even odds
    if kind == 2:  # noqa: PLR2004 - number of a kind
        coarse = random.integers(0, 256, (*random.integers(2, 12, 2), 3), dtype=np.uint8)
        return np.asarray(cv2.resize(coarse, size), np.float64)
    other = others[int(random.integers(len(others)))]
    side = int(random.integers(12, 60))
    y, x = (random.integers(0, max(1, length - side)) for length in other.shape[:2])
    return np.asarray(cv2.resize(other[y : y + side, x : x + side], size), np.float64)


def _skin(picture: NDArray[np.uint8], points: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Return the colour of a cheek with noise."""
    x, y = np.clip((points[2] + points[int(random.integers(3, 5))]) / 2, 3, SIDE_PX - 4).astype(int)
    cheek = picture[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1))
    return np.asarray(np.clip(cheek + random.normal(0, 12, 3) + random.normal(0, 6, (*picture.shape[:2], 3)), 0, 255))


def _cut_off(picture: NDArray[np.uint8], random: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Repeat a row or column from it on, as pixels outside a picture are; more often below than elsewhere."""
    quarters = int(random.choice(4, p=(0.625, 0.125, 0.125, 0.125)))
    at = int(random.uniform(0.35, 1) * SIDE_PX)
    result, mask = np.rot90(picture, quarters).copy(), np.zeros(picture.shape[:2], np.uint8)
    result[at:], mask[at:] = result[at - 1], 255
    return np.rot90(result, -quarters).copy(), np.rot90(mask, -quarters).copy()
