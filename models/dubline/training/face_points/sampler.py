"""Draws samples of faces as a prober meets them: shifted, rotated, dark, noisy, covered, cut off; and of no faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import cv2
import numpy as np

from dubline.framing.points import SHOWN, SIDE_PX
from dubline.training.face_points.coverings import covered, visible
from dubline.training.face_points.labelled_faces import placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dubline.training.face_points.labelled_faces import LabelledFaces

#: Share of samples that are rotated by more than 65 degrees, beside a face, of another picture, or of a wrong size.
ROTATED, BESIDE, FOREIGN, MISSIZED = 0.12, 0.08, 0.10, 0.03
#: Share of samples that are placed as the detector places a face that it knows well, and their rotation in degrees.
WELL_PLACED: Final = 0.6
ROTATION_DEG: Final = (7.0, 15.0)
MOST_DEG: Final = 38.0
#: Standard deviations of log scale and of shift in sides of the box, well and badly placed.
SCALES: Final = (0.06, 0.11)
SHIFTS: Final = (0.03, 0.07)
#: Order of the points in a mirrored face.
MIRRORED: Final = [1, 0, 2, 4, 3]


class Sample(NamedTuple):
    """One sample."""

    picture: NDArray[Any]
    """(SIDE_PX, SIDE_PX, 3) in [0, 1]."""
    points: NDArray[Any]
    """(10,) in sides of the picture from its middle."""
    visible: NDArray[Any]
    """(3,) in [0, 1]: left eye, right eye, mouth."""
    is_face: float
    """1 or 0."""
    is_certain: float
    """0 where too little of the face is left to say whether it is one."""


class Sampler:
    """Draws samples.

    Args:
        kinds: faces; each kind is drawn equally often.
        foreign: pictures without faces.
        seed: of all choices.
    """

    def __init__(self, kinds: Sequence[LabelledFaces], foreign: Sequence[NDArray[np.uint8]], seed: int) -> None:
        self._kinds, self._foreign, self._random = kinds, foreign, np.random.default_rng(seed)

    def draw(self) -> Sample:
        """Draw one sample."""
        random = self._random
        picture, points = self._mirrored(*self._chosen())
        pose, is_face = self._pose(points)
        if pose is None:
            picture = self._foreign[int(random.integers(len(self._foreign)))]
            pose = (random.uniform(0, picture.shape[1::-1]), random.uniform(20, 160), random.uniform(-40, 40))
        pixels, matrix = _sampled(picture, *pose)
        points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        other = self._kinds[int(random.integers(len(self._kinds)))].pictures[:1]
        pixels, hidden = covered(pixels, points, [*self._foreign, *other], random)
        shares = visible(points, hidden)
        certain = not is_face or shares.max() > 0.05  # noqa: PLR2004 - all is covered
        coordinates = ((points - SIDE_PX / 2 + 0.5) / SIDE_PX).reshape(-1)
        return Sample(self._lit(pixels), coordinates, shares, float(is_face), float(certain))

    def _chosen(self) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        kind = self._kinds[int(self._random.integers(len(self._kinds)))]
        number = int(self._random.integers(len(kind)))
        return kind.pictures[number], kind.points[number]

    def _mirrored(self, picture: NDArray[np.uint8], points: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        if self._random.random() < 0.5:  # noqa: PLR2004 - even odds
            return picture, points
        flipped = points[MIRRORED] * (-1, 1) + (picture.shape[1] - 1, 0)
        return np.ascontiguousarray(picture[:, ::-1]), flipped

    def _pose(self, points: NDArray[Any]) -> tuple[tuple[NDArray[Any], float, float] | None, bool]:
        """Choose the centre, the side of the box and the rotation, and whether that is a face; None: no face at all."""
        random = self._random
        middle, side = placed(points)
        badly = int(random.random() >= WELL_PLACED)
        angle = float(np.clip(random.normal(0, ROTATION_DEG[badly]), -MOST_DEG, MOST_DEG))
        scale = float(np.exp(random.normal(0, SCALES[badly])))
        centre = np.asarray(middle, np.float64) + random.normal(0, SHIFTS[badly], 2) * side
        kind = random.random()
        if kind < ROTATED:
            return (centre, side * scale, random.uniform(65, 295)), False
        if kind < ROTATED + BESIDE:
            way = random.uniform(0, 2 * np.pi)
            beside = centre + np.array([np.cos(way), np.sin(way)]) * side * random.uniform(0.7, 1.4)
            return (beside, side * float(np.exp(random.uniform(-0.6, 1.2))), angle), False
        if kind < ROTATED + BESIDE + FOREIGN:
            return None, False
        if kind < ROTATED + BESIDE + FOREIGN + MISSIZED:
            return (centre, side * float(random.choice((0.38, 2.6))), angle), False
        return (centre, side * scale, angle), True

    def _lit(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Change light, colour, sharpness and noise."""
        random = self._random
        values = pixels.astype(np.float32) / 255
        if random.random() < 0.25:  # noqa: PLR2004 - odds of grey
            values = values.mean(2, keepdims=True).repeat(3, 2)
        values = values ** random.uniform(0.6, 1.7) * random.uniform(0.5, 1.2)
        values = values * (1 + random.normal(0, 0.07, 3)) + random.normal(0, 0.04)
        if random.random() < 0.3:  # noqa: PLR2004 - odds of blur
            values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.4, 1.6))
        if random.random() < 0.3:  # noqa: PLR2004 - odds of a small picture
            side = int(random.integers(18, 56))
            small = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
            values = cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        if random.random() < 0.4:  # noqa: PLR2004 - odds of noise
            values = values + random.normal(0, random.uniform(0.005, 0.06), values.shape)
        return np.clip(values, 0, 1).astype(np.float32)


def _sampled(
    picture: NDArray[np.uint8], centre: NDArray[Any], side: float, angle_deg: float
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Sample a face; also return the map from positions of the picture to those of the sample."""
    scale = SIDE_PX / (SHOWN * side)
    cos, sin = scale * np.cos(np.deg2rad(angle_deg)), scale * np.sin(np.deg2rad(angle_deg))
    rotation = np.array([[cos, -sin], [sin, cos]])
    matrix = np.column_stack([rotation, SIDE_PX / 2 - rotation @ centre])
    if scale < 0.6:  # noqa: PLR2004 - bilinear samples skip pixels
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / scale)
    return cv2.warpAffine(picture, matrix, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE), matrix
