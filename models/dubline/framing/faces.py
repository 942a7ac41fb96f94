"""All faces of a picture: where they are, how they lean, which way they look, and what of them can be seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from dubline.framing.face import FaceBox, detect_resized, prominence, refine, resized, search_scales
from dubline.framing.points import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dubline.framing.points import Reading

#: A face that leans less is rendered as it stands: the detector and the networks know such faces.
UPRIGHT_DEG: Final = 10.0
#: Least confidence of the points' network in a face, and in one that the detector is not sure about.
SURE: Final = 0.5
#: By how much copies of a picture without an upright face are rotated. The detector finds faces within 20 degrees.
SEARCH_TILTS_DEG: Final = (90, -90, 180, 30, -30, 60, -60, 120, -120, 150, -150)
#: Only this copy is searched, since there are many angles: 80 px of 640 px is a face of 13 % of the longer side.
TILT_SEARCH_SIDE_PX: Final = 640
#: Where the box of a face that is upside down may be, in sides of a box that the detector finds in it upright: it takes
#: a chin with its shadow or beard for hair, and then finds the face too low.
UPSIDE_DOWN: Final = ((0.0, 0.0), (0.0, -0.2), (0.0, -0.4), (-0.2, 0.0), (0.2, 0.0))
#: Least visible share of its mouth: .99 in 6 photographs that were upside down and found upright, at most .5 in upright
#: ones, whose brows are then taken for it.
MOUTH_SEEN: Final = 0.75
#: Side of the detector's box over the distance from the eyes to the mouth, and its centre between both; in 24
#: photographs and paintings 2.23 (standard deviation .11) and .5 (.015 of the side).
BOX_PER_EYES_TO_MOUTH: Final = 2.23


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face of a picture."""

    box: FaceBox
    """In px of the picture, as if the face were upright."""
    tilt_deg: float
    """By how much it leans clockwise; 0 below `UPRIGHT_DEG`."""
    reading: Reading
    """What the points' network reads in it, upright."""

    @property
    def middles(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(x, y) between the eyes and between the corners of the mouth, px."""
        points = self.reading.points
        return (points[0] + points[1]) / 2, (points[3] + points[4]) / 2

    @property
    def aside(self) -> float:
        """How far the nose is beside the line from the eyes to the mouth, in lengths of it: about yaw / 75 degrees."""
        return self._nose()[0]

    @property
    def below(self) -> float:
        """How far the nose is down the line from the eyes to the mouth, in lengths of it: .6 in a level face."""
        return self._nose()[1]

    def _nose(self) -> tuple[float, float]:
        eyes, mouth = self.middles
        down = (mouth - eyes).astype(np.float64)
        length = max(1e-6, float(np.hypot(*down)))
        down /= length
        nose = (self.reading.points[2] - eyes) / length
        return float(nose @ (down[1], -down[0])), float(nose @ down)


def find_all(image: Image.Image) -> list[FoundFace]:
    """Find the faces of a picture, the largest and most central first.

    Args:
        image: RGB, any size.

    Returns:
        Upright faces if there are any; otherwise those that a rotated copy shows.
    """
    pixels = np.asarray(image)
    for scale in search_scales(image.size):
        found = [_right_way_up(pixels, refine(image, box)) for box in detect_resized(image, scale)]
        if faces := _ordered(found, image.size):
            return faces
    return _tilted(image, pixels)


def _tilted(image: Image.Image, pixels: NDArray[np.uint8]) -> list[FoundFace]:
    """Find faces in rotated copies."""
    (scale,) = search_scales(image.size, (TILT_SEARCH_SIDE_PX,))
    copy = resized(image, scale)
    found = [
        _measured(pixels, box.scaled(1 / scale), tilt_deg)
        for tilt_deg in SEARCH_TILTS_DEG
        for box in _detected_rotated(copy, tilt_deg)
    ]
    return _ordered(found, image.size)


def _detected_rotated(copy: Image.Image, tilt_deg: float) -> Iterator[FaceBox]:
    """Detect faces that lean by about `tilt_deg`; boxes are in px of `copy`."""
    # Pillow rotates anticlockwise, about the middle.
    rotated = copy.rotate(tilt_deg, Image.Resampling.BILINEAR, expand=True)
    angle = math.radians(tilt_deg)
    for box in detect_resized(rotated, 1.0):
        x, y = (at - side / 2 for at, side in zip(box.centre, rotated.size, strict=True))
        centre_x = copy.width / 2 + x * math.cos(angle) - y * math.sin(angle)
        centre_y = copy.height / 2 + x * math.sin(angle) + y * math.cos(angle)
        yield _square((centre_x, centre_y), box.side)


def _right_way_up(pixels: NDArray[np.uint8], box: FaceBox) -> FoundFace:
    """Read a face that was found upright; upside down, if the points' network is surer of it so and sees its mouth."""
    upright = _measured(pixels, box)
    shifted = (box.shifted(x * box.side, y * box.side) for x, y in UPSIDE_DOWN)
    confidence, nearest = max(((read(pixels, one, 180.0).face, one) for one in shifted), key=lambda one: one[0])
    if confidence < max(upright.reading.face, SURE):
        return upright
    other = _measured(pixels, nearest, 180.0)
    return other if other.reading.mouth > MOUTH_SEEN and other.reading.face > upright.reading.face else upright


def _measured(pixels: NDArray[np.uint8], box: FaceBox, tilt_deg: float = 0.0) -> FoundFace:
    """Read a face, and once more upright if it leans."""
    reading = read(pixels, box, tilt_deg)
    leans = lean_deg(reading)
    if reading.face < SURE or abs(leans) < UPRIGHT_DEG:
        return FoundFace(box, tilt_deg, reading)
    upright = read(pixels, _box_of(reading), leans)
    leans = round(lean_deg(upright), 1)
    if not tilt_deg and abs(leans) < UPRIGHT_DEG:
        return FoundFace(box, 0.0, reading)
    return FoundFace(_box_of(upright), leans, upright)


def lean_deg(reading: Reading) -> float:
    """Return by how much a face leans clockwise: the mean of its eyes' line and that from its eyes to its mouth."""
    left, right, _, mouth_left, mouth_right = reading.points
    across = right - left
    down = (mouth_left + mouth_right - left - right) / 2
    # The line down is the line across rotated by a right angle. A face seen from the side shows it better.
    total = across + np.array([down[1], -down[0]])
    return math.degrees(math.atan2(total[1], total[0]))


def _box_of(reading: Reading) -> FaceBox:
    """Return the box that the detector would find if the face were upright."""
    points = reading.points
    eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    side = BOX_PER_EYES_TO_MOUTH * float(np.hypot(*(mouth - eyes)))
    x, y = (eyes + mouth) / 2
    return _square((float(x), float(y)), max(side, 1.0))


def _square(centre: tuple[float, float], side: float) -> FaceBox:
    x, y = centre
    return FaceBox(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def _ordered(found: Sequence[FoundFace], size: tuple[int, int]) -> list[FoundFace]:
    """Return faces without doubles, the largest and most central first."""
    faces: list[FoundFace] = []
    # Of two detections of one face the surer one is kept: in copies rotated too far a face is read badly.
    for one in sorted((face for face in found if face.reading.face >= SURE), key=lambda face: -face.reading.face):
        if not any(_overlaps(one.box, other.box) for other in faces):
            faces.append(one)
    return sorted(faces, key=lambda face: -prominence(face.box, size))


def _overlaps(one: FaceBox, other: FaceBox) -> bool:
    return math.dist(one.centre, other.centre) < max(one.side, other.side) / 2
