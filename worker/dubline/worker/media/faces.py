"""What the faces of a portrait are good for: which can be animated, and what makes a video of one worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2

from dubline.framing import face, faces, points
from dubline.options.render import FACES_MOST
from dubline.orchestration.domain.errors import (
    BadInputError,
    FaceOccludedError,
    FaceProfileError,
    FaceTiltedError,
    NoFaceError,
)
from dubline.orchestration.domain.faces import Face, Remark
from dubline.worker.media import frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.framing.faces import FoundFace
    from dubline.worker.media.image import Portrait

#: A face that leans further is upside down for the viewer: the picture is, not the head.
TILT_MOST_DEG: Final = 120.0
#: How far the nose may be beside the line from the eyes to the mouth, in lengths of it: a yaw of about 42 degrees.
ASIDE_MOST: Final = 0.56
#: From here on a warning is given: about 28 degrees.
ASIDE_FREELY: Final = 0.38
#: Where the nose may be between eyes (0) and mouth (1). Beyond, the head is thrown back or bowed by 25 degrees or more.
BELOW_LEAST: Final = 0.08
BELOW_MOST: Final = 0.95
#: Least visible share of the mouth, and of the eye that is seen better.
SEEN_LEAST: Final = 0.3
#: Below this visible share a warning is given.
SEEN_FREELY: Final = 0.6
#: Half the height of the lips in lengths of the line from the eyes to the mouth.
LIPS: Final = 0.15


def load() -> None:
    """Prepare what all pictures need, once for all forks: files are read here, because the sandbox opens none."""
    points.load()
    face.load()
    cv2.setNumThreads(1)


def judged(portrait: Portrait) -> list[Face]:
    """Find and judge the faces of a portrait.

    Args:
        portrait: decoded.

    Returns:
        At most `FACES_MOST`: those that can be animated first, each group from the largest and most central one on.

    Raises:
        NoFaceError: there is none.
        BadInputError: none can be animated; the reason of the first.
    """
    found = [_judged(one, portrait) for one in faces.find_all(portrait.picture)[:FACES_MOST]]
    if not found:
        raise NoFaceError
    found.sort(key=lambda one: one[1] is not None)
    first, error = found[0]
    if error is not None:
        raise error
    return [first, *(face for face, _ in found[1:])]


def _judged(found: FoundFace, portrait: Portrait) -> tuple[Face, BadInputError | None]:
    box = found.box.scaled(portrait.width_px / portrait.picture.width)
    error: BadInputError | None = None
    try:
        check(found, portrait.picture.size)
        frame.face_in_video(box, portrait.width_px, portrait.height_px)
    except BadInputError as raised:
        error = raised
    left, top, right, bottom = (round(edge) for edge in (box.left, box.top, box.right, box.bottom))
    face = Face(
        box=(left, top, right, bottom),
        tilt_deg=found.tilt_deg,
        warnings=tuple(warnings(found)),
        error=None if error is None else Remark(error.code, error.detail),
    )
    return face, error


def check(found: FoundFace, size: tuple[int, int]) -> None:
    """Refuse a face that cannot be animated.

    Raises:
        BadInputError: the subclass for its fault.
    """
    _check_edges(found, size)
    if abs(found.tilt_deg) > TILT_MOST_DEG:
        raise FaceTiltedError(
            f"The face leans by {abs(found.tilt_deg):.0f} degrees, up to {TILT_MOST_DEG:.0f} are accepted. "
            "Rotate the picture and send it again."
        )
    if not BELOW_LEAST <= found.below <= BELOW_MOST:
        which = "thrown back" if found.below < BELOW_LEAST else "bowed"
        raise FaceTiltedError(f"The head is {which} too far. Send a picture in which the face is towards the camera.")
    if abs(found.aside) > ASIDE_MOST:
        raise FaceProfileError
    if found.reading.mouth < SEEN_LEAST:
        raise FaceOccludedError("The mouth is covered. Send a picture in which it is visible.")
    if max(found.reading.eyes) < SEEN_LEAST:
        raise FaceOccludedError("The eyes are covered. Send a picture in which they are visible.")


def _check_edges(found: FoundFace, size: tuple[int, int]) -> None:
    """Refuse a face whose mouth or eyes are outside the picture.

    Raises:
        NoFaceError: the whole mouth is.
        FaceOccludedError: a part of the mouth or an eye is.
    """

    def inside(x: float, y: float) -> bool:
        return 0 <= x <= size[0] and 0 <= y <= size[1]

    eyes, mouth = found.middles
    down = mouth - eyes
    of_face = found.reading.points
    if not inside(*mouth):
        raise NoFaceError(
            "The picture ends above the mouth of the face. Send a picture that shows the whole face from the front."
        )
    lips = (of_face[3], of_face[4], mouth - LIPS * down, mouth + LIPS * down)
    if not all(inside(*point) for point in lips):
        raise FaceOccludedError("The mouth is partly outside the picture. Send a picture that shows the whole face.")
    if not all(inside(*point) for point in of_face[:2]):
        raise FaceOccludedError("An eye is outside the picture. Send a picture that shows the whole face.")


def warnings(found: FoundFace) -> Iterator[Remark]:
    """Yield what makes a video of a face worse."""
    if found.tilt_deg:
        yield Remark(
            "tilted",
            f"The face is tilted by {abs(found.tilt_deg):.0f} degrees. It is animated upright and rotated back.",
        )
    if abs(found.aside) > ASIDE_FREELY:
        yield Remark("looks_aside", "The face looks to the side. A face from the front gives a better video.")
    if found.reading.mouth < SEEN_FREELY:
        yield Remark("mouth_covered", "The mouth is partly covered. What covers it moves with it.")
    if min(found.reading.eyes) < SEEN_FREELY:
        yield Remark("eyes_covered", "An eye is partly covered. What covers it moves with it.")
