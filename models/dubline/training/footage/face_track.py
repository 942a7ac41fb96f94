"""Follows one face through a film and frames it as the product frames a portrait.

dlib's HOG detector carries its weights in its code, so training needs no file for it either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import dlib
import numpy as np

from dubline.framing.crop import BOX_CENTRE_Y, SIDE_PER_BOX, Square
from dubline.training.footage.video import shown_size, upright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dubline.training.footage.video import Tick

#: A look every fifth of a second: heads do not go further in between than `is_same` allows.
DETECTION_TICKS: Final = 5
#: Sides that are searched; the detector's window is 80 px, so the second finds faces of 6 % of the picture's side.
SEARCH_SIDES_PX: Final = (640, 1280)
#: The detector knows a face's size to one step (5/6) of its pyramid; looks at three sizes between two steps, one after
#: the other, average that out over a take. Upwards only, so that no size is missed that the plain side would find.
STEPS: Final = (1.0, 1.062, 1.13)
#: Looks without the face that are put up with: a blink of the detector, not of the film.
MISSES: Final = 2
#: A frame that differs from the one before by so much (mean, of 255), and so many times as much as frames did before
#: it, begins another scene.
CUT_LEVEL: Final = 14.0
CUT_RATIO: Final = 5.0
CUT_MEMORY: Final = 12
THUMB_PX: Final = 32
#: A second face of this share of the first one's width makes it unclear who speaks.
OTHER_FACE: Final = 0.6
#: The detector's scores: faces that look at the camera get about 1 (measured on one film: .8 to 1.6); folds of clothes
#: that pass for a face stay under .25. Beside the last look any face will do.
SURE: Final = 0.4


class Box(NamedTuple):
    """A face, in px of the upright picture, and the detector's score of it."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0

    @property
    def side(self) -> float:
        """Mean of width and height."""
        return (self.right - self.left + self.bottom - self.top) / 2

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def is_same(self, other: Box) -> bool:
        """Whether the two can be one face at two looks."""
        near = math.dist(self.centre, other.centre) < self.side / 3
        return near and 2 / 3 < self.side / other.side < 3 / 2


@dataclass
class FaceTrack:
    """A part of one scene that shows one face: the looks at it as (tick, box); how many saw a second face."""

    detections: list[tuple[int, Box]]
    other_faces: int = 0

    @property
    def first(self) -> int:
        """The first look's tick."""
        return self.detections[0][0]

    @property
    def last(self) -> int:
        """The last look's tick; it belongs to the stretch."""
        return self.detections[-1][0]


@dataclass
class Tracker:
    """Looks at a film tick by tick; gives a stretch whenever one ends. `faceless` counts looks without a face."""

    current: FaceTrack | None = None
    detections: int = 0
    faceless: int = 0
    misses: int = 0
    side_px: int = SEARCH_SIDES_PX[0]
    next_detection: int = 0
    thumb: NDArray[np.float32] | None = None
    changes: list[float] = field(default_factory=list)

    def watch(self, tick: Tick) -> Iterator[FaceTrack]:
        """See one tick; yields the stretch that it ends, if it does."""
        cut = self._is_cut(tick)
        if self.current is not None and (cut or tick.number > self.current.last + (MISSES + 2) * DETECTION_TICKS):
            yield from self.end()
        if cut or tick.number >= self.next_detection:
            self.next_detection = tick.number + DETECTION_TICKS
            yield from self._detect(tick)

    def end(self) -> Iterator[FaceTrack]:
        """End the stretch at hand, if there is one."""
        if self.current is not None:
            yield self.current
        self.current, self.misses = None, 0

    def _is_cut(self, tick: Tick) -> bool:
        grey = tick.frame.reformat(THUMB_PX, THUMB_PX, "gray", interpolation="AREA").to_ndarray().astype(np.float32)
        change = 0.0 if self.thumb is None else float(np.abs(grey - self.thumb).mean())
        typical = float(np.median(self.changes)) if self.changes else 0.0
        self.thumb, self.changes = grey, [*self.changes, change][-CUT_MEMORY:]
        return change > max(CUT_LEVEL, CUT_RATIO * typical)

    def _detect(self, tick: Tick) -> Iterator[FaceTrack]:
        self.detections += 1
        boxes = self._find(tick)
        width, height = shown_size(tick)
        if self.current is None:
            box = max(
                boxes, key=lambda box: box.side - math.dist(box.centre, (width / 2, height / 2)) / 4, default=None
            )
        else:
            last = self.current.detections[-1][1]
            box = min(boxes, key=lambda box: math.dist(box.centre, last.centre), default=None)
            if box is not None and not box.is_same(last):
                yield from self.end()
        if box is None:
            self.faceless += 1
            self.misses += 1
            if self.misses > MISSES:
                yield from self.end()
            return
        self.misses = 0
        other = any(other is not box and other.score > SURE and other.side > OTHER_FACE * box.side for other in boxes)
        if self.current is None:
            self.current = FaceTrack([])
        self.current.detections.append((tick.number, box))
        self.current.other_faces += other

    def _find(self, tick: Tick) -> list[Box]:
        sides = [self.side_px, *(side for side in SEARCH_SIDES_PX if side != self.side_px)]
        for side in sides if self.current is None else sides[:1]:
            picture = upright(tick, round(side * STEPS[self.detections % len(STEPS)]))
            scale = max(shown_size(tick)) / max(picture.shape[:2])
            places, scores, _ = _detector().run(np.ascontiguousarray(picture), 0, 0.0)
            found = [
                Box(f.left() * scale, f.top() * scale, (f.right() + 1) * scale, (f.bottom() + 1) * scale, score)
                for f, score in zip(places, scores, strict=True)
                if self.current is not None or score > SURE
            ]
            if found:
                self.side_px = side
                return found
        return []


def holds(square: Square, box: Box) -> bool:
    """Whether a face lies inside a square, chin, brow and ears."""
    right, bottom = square.left + square.side, square.top + square.side
    return square.left <= box.left and square.top <= box.top and box.right <= right and box.bottom <= bottom


def overhang(square: Square, width: int, height: int) -> float:
    """How far a square reaches over a picture's edges, as a share of its side."""
    beyond = (-square.left, -square.top, square.left + square.side - width, square.top + square.side - height)
    return max(0, *beyond) / square.side


def around(boxes: list[Box]) -> Square:
    """One steady square for all looks of a take."""
    edges = np.array(boxes)
    # The mean of the sizes, since they step; the median of the places, since a head that nods comes back.
    side = round(float(np.mean([box.side for box in boxes])) * SIDE_PER_BOX)
    x, y = np.median((edges[:, :2] + edges[:, 2:4]) / 2, axis=0)
    return Square(round(x - side / 2), round(y - side * BOX_CENTRE_Y), side)


@cache
def _detector() -> Any:
    return dlib.get_frontal_face_detector()
