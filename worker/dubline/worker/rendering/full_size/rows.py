"""Rows of a field that is resampled to a square of another side, computed when they are needed."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Parameter of OpenCV's cubic interpolation.
CUBIC: Final = -0.75
#: Rows that one product of matrices computes. So few that the library of linear algebra starts no threads for it.
CHUNK_ROWS: Final = 16
#: The same where rows are means of many rows, and multiplications of such a product: half of those with which threads
#: start.
MEAN_ROWS: Final = 16
MULTIPLICATIONS: Final = 2**17
#: Resamplings whose weights are kept: three in luma and three in chroma, of a few videos.
KEPT: Final = 32


class _Resampling(NamedTuple):
    """How chunks of rows are made of the field's rows."""

    weights: list[NDArray[np.float32]]
    """Of each chunk: (its rows, rows of the field that it is made of)."""
    first: NDArray[np.int64]
    """Of each chunk: the first row of the field that it is made of."""
    end: NDArray[np.int64]
    """Of each chunk: the row after the last one."""

    def made_of(self, used: slice, side: int) -> slice:
        """Return the rows of a square that chunks have which are made of any of these rows of the field."""
        made = _used((self.first < used.stop) & (self.end > used.start))
        return slice(CHUNK_ROWS * made.start, min(CHUNK_ROWS * made.stop, side))


class Rows:
    """Resamples as `cv2.resize` does: columns at once, rows between them when they are needed.

    No row depends on which others are computed with it.

    Args:
        field: (h, h).
        side: of the square.
        interpolation: `cv2.INTER_LINEAR` or `cv2.INTER_CUBIC`.

    Attributes:
        columns: columns of the square, whole chunks of them; the field is 0 in all others.
    """

    def __init__(self, field: NDArray[np.float32], side: int, interpolation: int) -> None:
        self._side = side
        self._chunks = chunks = _resampling(len(field), side, interpolation)
        self._wide: NDArray[np.float32] = cv2.resize(field, (side, len(field)), interpolation=interpolation)
        # Comparing first: `any` of numbers takes ten times as long as that of truth values.
        used = field != 0
        self.columns, self._rows = (chunks.made_of(_used(used.any(axis=axis)), side) for axis in (0, 1))

    @classmethod
    def by_area(cls, field: NDArray[np.float32], side: int) -> Self:
        """Resample to a smaller side by the mean of what each pixel covers, to others linearly."""
        if side < len(field):
            smaller: NDArray[np.float32] = cv2.resize(field, (side, side), interpolation=cv2.INTER_AREA)
            field = smaller
        return cls(field, side, cv2.INTER_LINEAR)

    def is_zero(self, rows: slice) -> bool:
        """Return whether the field is 0 in rows of the square."""
        return bool(rows.stop <= self._rows.start or rows.start >= self._rows.stop)

    def __call__(self, rows: slice, columns: slice = slice(None)) -> NDArray[np.float32]:
        """Return rows of the square, (n, width of the columns)."""
        wide, (weights, firsts, ends) = self._wide[:, columns], self._chunks
        numbers = range(rows.start // CHUNK_ROWS, -(-rows.stop // CHUNK_ROWS))
        start = numbers.start * CHUNK_ROWS
        result = np.empty((min(numbers.stop * CHUNK_ROWS, self._side) - start, wide.shape[1]), np.float32)
        for number in numbers:
            chunk = result[number * CHUNK_ROWS - start :][:CHUNK_ROWS]
            np.matmul(weights[number], wide[firsts[number] : ends[number]], out=chunk)
        return result[rows.start - start : rows.stop - start]


def shrunk(plane: NDArray[np.float32], side: int, known: slice) -> NDArray[np.float32]:
    """Resample a plane (h, h) to a smaller square by the mean of what each pixel covers, as `cv2.resize` does.

    Rows first, as products of matrices: this takes half of its time.

    Args:
        plane: (h, h).
        side: of the square.
        known: rows of the plane that are read; rows of the square that others belong to are 0.
    """
    start, (weights, firsts, ends) = _means(len(plane), side, known.start, known.stop)
    rows = np.zeros((side, plane.shape[1]), np.float32)
    for matrix, first, end in zip(weights, firsts, ends, strict=True):
        np.matmul(matrix, plane[first:end], out=rows[start : start + len(matrix)])
        start += len(matrix)
    result: NDArray[np.float32] = cv2.resize(rows, (side, side), interpolation=cv2.INTER_AREA)
    return result


def _used(places: NDArray[np.bool_]) -> slice:
    """Return the shortest slice that contains all places; an empty one starts behind them."""
    used = np.flatnonzero(places)
    return slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(len(places), 0)


@lru_cache(KEPT)
def _resampling(length: int, side: int, interpolation: int) -> _Resampling:
    """Return the weights of all rows of a square for a field of this length."""
    places, taps = _taps(length, side, interpolation)
    starts = range(0, side, CHUNK_ROWS)
    first = np.array([places[:, start : start + CHUNK_ROWS].min() for start in starts])
    end = np.array([places[:, start : start + CHUNK_ROWS].max() + 1 for start in starts])
    weights = []
    for start, low, high in zip(starts, first, end, strict=True):
        near = places[:, start : start + CHUNK_ROWS] - low
        matrix = np.zeros((near.shape[1], high - low), np.float32)
        # Taps beyond the edge of the field are at its last row.
        np.add.at(matrix, (np.arange(near.shape[1]), near), taps[:, start : start + CHUNK_ROWS])
        weights.append(matrix)
    return _Resampling(weights, first, end)


@lru_cache(KEPT)
def _means(length: int, side: int, start: int, stop: int) -> tuple[int, _Resampling]:
    """Return the first row of a smaller square that is made of rows from `start` to `stop`, and the weights of such."""
    edges = np.arange(side + 1) * (length / side)
    places = np.arange(length)
    covered = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    shares = (covered.clip(min=0) * (side / length)).astype(np.float32)
    outside = shares[:, :start].any(axis=1) | shares[:, stop:].any(axis=1)
    made = _used(~outside)
    count = int(np.clip(math.sqrt(MULTIPLICATIONS * side) / length, 1, MEAN_ROWS))
    weights, first, end = [], [], []
    for row in range(made.start, made.stop, count):
        chunk = shares[row : min(row + count, made.stop)]
        used = _used(chunk.any(axis=0))
        weights.append(np.ascontiguousarray(chunk[:, used]))
        first.append(used.start)
        end.append(used.stop)
    return made.start, _Resampling(weights, np.array(first), np.array(end))


def _taps(length: int, side: int, interpolation: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places of the field that each row of the square is made of, and their weights, (taps, side) each."""
    position = (np.arange(side) + 0.5) * length / side - 0.5
    first = np.floor(position)
    share = position - first
    if interpolation == cv2.INTER_LINEAR:
        taps, weights = np.arange(2), np.stack([1 - share, share])
    else:
        taps, weights = (
            np.arange(-1, 3),
            np.stack([_cubic(share + 1), _cubic(share), _cubic(1 - share), _cubic(2 - share)]),
        )
    places = np.clip(first + taps[:, None], 0, length - 1).astype(np.int64)
    return places, weights.astype(np.float32)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of a sample at a distance of up to 2 (Keys, 1981)."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)
