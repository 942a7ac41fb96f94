"""Bars beside a picture: rows or columns of one colour that a video or an editor has added. They never move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Levels by which 99 % of a bar's values differ from its colour at most: the noise of a codec.
NOISE: Final = 12
#: At its inner edge at least half of the pixels differ from a bar by so many levels. A plain background has no such
#: edge.
EDGE: Final = 24
#: Pixels over which a codec blurs this edge.
BLUR_PX: Final = 4


def picture_in(frame: NDArray[np.uint8], kept: tuple[float, float]) -> tuple[slice, slice]:
    """Return the rows and columns of a frame that are no bars. Their ends are even, as the frame's.

    Args:
        frame: (H, W, 3) uint8 RGB.
        kept: (x, y), the middle of the face. A bar that reaches it is none, as behind a face of few thin lines.
    """
    x, y = kept
    top, bottom = _bars(frame, y)
    left, right = _bars(frame[top : len(frame) - bottom].swapaxes(0, 1), x)
    return slice(top, len(frame) - bottom), slice(left, frame.shape[1] - right)


def _bars(rows: NDArray[np.uint8], kept: float) -> tuple[int, int]:
    """Return the numbers of rows of the first and the last bar of a frame, or of columns if it is transposed."""
    first, last = _bar(rows), _bar(rows[::-1])
    return first if first <= kept else 0, last if last < len(rows) - kept else 0


def _bar(rows: NDArray[np.uint8]) -> int:
    """Return the number of rows of the bar at the start, rounded up to an even one; 0 if there is none.

    A picture of one colour has none.
    """
    colour = np.median(rows[0], axis=0)
    if not _is_plain(_away(rows[:1], colour))[0]:
        return 0
    away = _away(rows[: len(rows) // 2], colour)
    plain = _is_plain(away)
    count = int(plain.argmin())
    beyond = away[count : count + BLUR_PX + 1]
    if not count or (beyond > EDGE).mean(axis=1).max() < 0.5:  # noqa: PLR2004 - as `EDGE` says
        return 0
    return count + count % 2


def _away(rows: NDArray[np.uint8], colour: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return how far each pixel of rows (n, W, 3) is from a colour: (n, W), levels of the channel that differs most."""
    distance: NDArray[np.floating] = np.abs(rows.astype(np.int16) - colour).max(axis=2)
    return distance


def _is_plain(away: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return of each row (n, W) whether it may belong to a bar."""
    plain: NDArray[np.bool_] = np.percentile(away, 99, axis=1) <= NOISE
    return plain
