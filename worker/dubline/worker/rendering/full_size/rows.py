"""Rows of a field that is resampled to a square of another side, computed when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Parameter of OpenCV's cubic interpolation.
CUBIC: Final = -0.75
#: Rows above and below a band that its interpolation reads.
NEIGHBOURS: Final = 2


class Rows:
    """Resamples between rows as `cv2.resize` does, and leaves the columns to it.

    Args:
        field: (h, h).
        side: of the square.
        interpolation: `cv2.INTER_LINEAR` or `cv2.INTER_CUBIC`.

    Attributes:
        columns: columns of the square; the field is 0 in all others.
    """

    def __init__(self, field: NDArray[np.float32], side: int, interpolation: int) -> None:
        self._field, self._side, self._interpolation = field, side, interpolation
        self._places, self._weights = _taps(field.shape[0], side, interpolation)
        self._used: NDArray[np.bool_] = np.any(field, axis=1)
        used = np.flatnonzero(np.any(field, axis=0)[self._places].any(axis=0))
        self.columns = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0)

    @classmethod
    def by_area(cls, field: NDArray[np.float32], side: int) -> Self:
        """Resample to a smaller side by the mean of what each pixel covers, to others linearly."""
        if side < len(field):
            smaller: NDArray[np.float32] = cv2.resize(field, (side, side), interpolation=cv2.INTER_AREA)
            field = smaller
        return cls(field, side, cv2.INTER_LINEAR)

    def is_zero(self, rows: slice) -> bool:
        """Return whether the field is 0 in rows of the square."""
        return not self._used[self._places[:, rows]].any()

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        """Return rows of the square, (n, side)."""
        field = self._field
        if len(field) == self._side:
            return field[rows].copy()
        # With neighbours on either side, a row does not depend on where the band begins and ends.
        near = np.arange(rows.start - NEIGHBOURS, rows.stop + NEIGHBOURS).clip(0, self._side - 1)
        pairs = zip(self._weights[:, near], self._places[:, near], strict=True)
        parts = [weights[:, None] * field[places] for weights, places in pairs]
        between = sum(parts[1:], parts[0])
        resized: NDArray[np.float32] = cv2.resize(
            between, (self._side, len(between)), interpolation=self._interpolation
        )
        return resized[NEIGHBOURS:-NEIGHBOURS]


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
