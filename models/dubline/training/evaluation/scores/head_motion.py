"""Scores of the landmarks of videos: steps of the head from frame to frame, and how far the chin follows the lips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Landmarks, in the order of Multi-PIE, that move with the head and hardly with the face: nose, corners of the eyes.
RIGID: Final = [*range(27, 36), 36, 39, 42, 45]
ROOT_OF_NOSE: Final = 27
CHIN: Final = 8
#: Ends of the jaw line, between which the face's width is measured.
CHEEKS: Final = [0, 16]
UPPER_LIP: Final = 62
LOWER_LIP: Final = 66


def largest_step(points: NDArray[np.float64]) -> float:
    """Return the largest step of a head between two frames as a share of the face's width.

    Args:
        points: (T, 68, 2), NaN where no face is found.
    """
    heads = points[:, RIGID].mean(axis=1)
    steps = np.linalg.norm(np.diff(heads, axis=0), axis=1)
    return float(np.nanmax(steps) / _width(points)) if np.isfinite(steps).any() else float("nan")


def jaw_share(points: NDArray[np.float64]) -> float:
    """Return how far the chin moves down per opening of the lips: the slope of a line through the frames.

    Args:
        points: (T, 68, 2), NaN where no face is found.

    Returns:
        NaN if the lips do not move.
    """
    seen = points[np.isfinite(points).all(axis=(1, 2))]
    gap = np.linalg.norm(seen[:, UPPER_LIP] - seen[:, LOWER_LIP], axis=1)
    face = np.linalg.norm(seen[:, ROOT_OF_NOSE] - seen[:, CHIN], axis=1)
    if not len(gap) or not np.ptp(gap):
        return float("nan")
    return float(np.polynomial.Polynomial.fit(gap, face, 1).convert().coef[1])


def _width(points: NDArray[np.float64]) -> float:
    left, right = points[:, CHEEKS].swapaxes(0, 1)
    return float(np.nanmedian(np.linalg.norm(left - right, axis=1)))
