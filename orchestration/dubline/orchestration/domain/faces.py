"""Faces of a portrait as the probe found them: where each is, how it leans, and what is wrong with it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from dubline.options.point import POINT_MOST_PX
from dubline.options.render import FACES_MOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dubline.options.point import Point

#: Longest sentence of a remark.
DETAIL_MAX_CHARS: Final = 400
CODE_MAX_CHARS: Final = 64
#: Largest edge of a box, px; right and bottom are exclusive.
EDGE_MAX_PX: Final = POINT_MOST_PX + 1


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a face, as a stable code and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One face of a portrait."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom in pixels of the picture after EXIF rotation; right and bottom are exclusive."""
    tilt_deg: float = 0.0
    """By how much it is rotated clockwise for the viewer; 0 where it is rendered as it stands."""
    warnings: tuple[Remark, ...] = ()
    """What makes the video worse."""
    error: Remark | None = None
    """Why it cannot be animated; None: it can."""

    def contains(self, point: Point) -> bool:
        """Tell whether a point lies in the box."""
        left, top, right, bottom = self.box
        return left <= point.x < right and top <= point.y < bottom

    def distance(self, point: Point) -> float:
        """Return the distance of a pixel from the centre of the box in pixels."""
        left, top, right, bottom = self.box
        return math.hypot(point.x + 0.5 - (left + right) / 2, point.y + 0.5 - (top + bottom) / 2)

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned; it may come from a process that is not trusted.

        Raises:
            ValueError: a value has another type or is out of bounds.
        """
        try:
            left, top, right, bottom = (int(edge) for edge in found["box"])
            tilt_deg, error = float(found["tilt_deg"]), found["error"]
            warnings = tuple(_remark(one) for one in found["warnings"][:FACES_MOST])
            error = None if error is None else _remark(error)
        except (TypeError, ValueError, KeyError, OverflowError) as wrong:
            raise ValueError("not a face") from wrong
        small = all(abs(edge) <= EDGE_MAX_PX for edge in (left, top, right, bottom))
        if not (small and left < right and top < bottom and math.isfinite(tilt_deg)):
            raise ValueError("a face has no box")
        return cls(box=(left, top, right, bottom), tilt_deg=tilt_deg, warnings=warnings, error=error)


def faces_from_json(found: Sequence[Mapping[str, Any]]) -> tuple[Face, ...]:
    """Read the faces of a picture, at most `FACES_MOST`.

    Raises:
        ValueError: a value has another type or is out of bounds.
    """
    return tuple(Face.from_json(one) for one in found[:FACES_MOST])


def face_at(faces: Sequence[Face], point: Point) -> int | None:
    """Return the number of the face whose box contains a point.

    Returns:
        Of several boxes the one whose centre is nearest, and of equally near ones the first; None: no box contains it.
    """
    containing = [number for number, face in enumerate(faces) if face.contains(point)]
    return min(containing, key=lambda number: faces[number].distance(point), default=None)


def described(faces: Sequence[Face]) -> str:
    """Return numbers and boxes of faces in words: `0 at (10, 20) to (90, 100)`."""
    return "; ".join(
        f"{number} at ({face.box[0]}, {face.box[1]}) to ({face.box[2]}, {face.box[3]})"
        + (f", {face.error.code}" if face.error else "")
        for number, face in enumerate(faces)
    )


def _remark(found: Mapping[str, Any]) -> Remark:
    return Remark(str(found["code"])[:CODE_MAX_CHARS], str(found["detail"])[:DETAIL_MAX_CHARS])
