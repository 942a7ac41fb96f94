"""Tracks one face through a video and frames it as a portrait is framed for rendering."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from dubline.framing.crop import BOX_CENTRE_Y, SIDE_PER_BOX, Square
from dubline.framing.face import detect
from dubline.training.footage.video import shown_size, upright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dubline.framing.face import Detection, FaceBox
    from dubline.training.footage.video import Tick

#: Ticks between two detections (0.2 s). A head moves less in between than `FaceBox.is_same` allows.
DETECTION_TICKS: Final = 5
#: Longer sides at which the detector runs. Its window is 80 px, so the second side finds faces of 6 % of the frame's
#: side.
SEARCH_SIDES_PX: Final = (640, 1280)
#: The detector measures a face's size to one step (5/6) of its pyramid. Detections at three scales in turn average this
#: error over a clip. The scales are at least 1, so that no face is missed that scale 1 would find.
STEPS: Final = (1.0, 1.062, 1.13)
#: Consecutive detections without a face that do not end a track.
MISSES: Final = 2
#: A new scene begins where the difference of two frames (mean, of 255) exceeds this level and this multiple of the
#: median difference of the frames before.
CUT_LEVEL: Final = 14.0
CUT_RATIO: Final = 5.0
CUT_MEMORY: Final = 12
THUMB_PX: Final = 32
#: A second face of at least this share of the first one's width makes the speaker ambiguous.
OTHER_FACE: Final = 0.6
#: Least detector score of a new face. Frontal faces score about 1 (.8 to 1.6 in one video), false detections such as
#: folds of clothes below .25. Next to the last detection any score is accepted.
SURE: Final = 0.4


@dataclass
class FaceTrack:
    """Detections of one face within one scene."""

    detections: list[tuple[int, FaceBox]]
    """(tick, box) of each detection."""
    other_faces: int = 0
    """Detections that found a second face."""

    @property
    def first(self) -> int:
        """Tick of the first detection."""
        return self.detections[0][0]

    @property
    def last(self) -> int:
        """Tick of the last detection; it belongs to the track."""
        return self.detections[-1][0]


@dataclass
class Tracker:
    """Detects faces tick by tick and yields a track whenever one ends."""

    current: FaceTrack | None = None
    detections: int = 0
    """Number of detector runs."""
    faceless: int = 0
    """Detector runs without a face."""
    misses: int = 0
    side_px: int = SEARCH_SIDES_PX[0]
    next_detection: int = 0
    thumb: NDArray[np.float32] | None = None
    changes: list[float] = field(default_factory=list)

    def update(self, tick: Tick) -> Iterator[FaceTrack]:
        """Process one tick; yield the track that it ends, if any."""
        cut = self._is_cut(tick)
        if self.current is not None and (cut or tick.number > self.current.last + (MISSES + 2) * DETECTION_TICKS):
            yield from self.end()
        if cut or tick.number >= self.next_detection:
            self.next_detection = tick.number + DETECTION_TICKS
            yield from self._detect(tick)

    def end(self) -> Iterator[FaceTrack]:
        """End the current track, if there is one."""
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
        found = self._find(tick)
        boxes = [detection.box for detection in found]
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
        other = any(other is not box and score > SURE and other.side > OTHER_FACE * box.side for other, score in found)
        if self.current is None:
            self.current = FaceTrack([])
        self.current.detections.append((tick.number, box))
        self.current.other_faces += other

    def _find(self, tick: Tick) -> list[Detection]:
        sides = [self.side_px, *(side for side in SEARCH_SIDES_PX if side != self.side_px)]
        for side in sides if self.current is None else sides[:1]:
            picture = upright(tick, round(side * STEPS[self.detections % len(STEPS)]))
            scale = max(shown_size(tick)) / max(picture.shape[:2])
            detections = detect(np.ascontiguousarray(picture), scale)
            found = [one for one in detections if self.current is not None or one.score > SURE]
            if found:
                self.side_px = side
                return found
        return []


def contains(square: Square, box: FaceBox) -> bool:
    """Return whether a face, with chin, brow and ears, lies inside a square."""
    right, bottom = square.left + square.side, square.top + square.side
    return square.left <= box.left and square.top <= box.top and box.right <= right and box.bottom <= bottom


def overhang(square: Square, width: int, height: int) -> float:
    """Return how far a square extends beyond a frame, as a share of its side."""
    beyond = (-square.left, -square.top, square.left + square.side - width, square.top + square.side - height)
    return max(0, *beyond) / square.side


def around(boxes: list[FaceBox]) -> Square:
    """Return one fixed square for all detections of a span."""
    # The mean of the sizes, because they are quantised; the median of the positions, because a nodding head returns.
    side = round(float(np.mean([box.side for box in boxes])) * SIDE_PER_BOX)
    x, y = np.median([box.centre for box in boxes], axis=0)
    return Square(round(x - side / 2), round(y - side * BOX_CENTRE_Y), side)
