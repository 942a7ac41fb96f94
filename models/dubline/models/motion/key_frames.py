"""Key frames: those that the networks compute. What is computed for the frames between two of them is interpolated.

Faces move smoothly, so most frames lie close to the line between their neighbours (decision 0059).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Frames from one key frame to the next, at most.
MOST_APART: Final = 3
#: Largest distance of the lip gap from the line between two key frames, in cm: less than the gap from which lips are
#: seen apart, .15 cm.
MOST_LIPS_CM: Final = 0.1


def choose(
    motion: NDArray[np.float32], lips_cm: NDArray[np.float32], blinking: NDArray[np.bool_], most: float
) -> list[int]:
    """Choose the key frames of one batch: its first and its last frame, and as few others as the limits allow.

    Args:
        motion: (T, K), whitened.
        lips_cm: (T,), readings of the lip gap.
        blinking: (T,), whether lids move. Such a frame is a key frame: a blink is short, and not linear.
        most: largest distance of whitened motion from the line between two key frames.

    Returns:
        Their indices, ascending.
    """
    path = np.concatenate([motion / most, lips_cm[:, None] / MOST_LIPS_CM], axis=1)

    def skips(first: int, last: int) -> bool:
        """Tell whether the frames between two may be interpolated."""
        if blinking[first + 1 : last].any():
            return False
        share = np.arange(1, last - first, dtype=np.float32)[:, None] / (last - first)
        off = path[first + 1 : last] - (path[first] + share * (path[last] - path[first]))
        return bool((np.square(off[:, :-1]).sum(axis=1) <= 1).all() and (np.abs(off[:, -1]) <= 1).all())

    keys = [0]
    while keys[-1] < len(path) - 1:
        first = keys[-1]
        furthest = min(first + MOST_APART, len(path) - 1)
        # The next frame is always possible.
        keys.append(next(last for last in range(furthest, first, -1) if skips(first, last)))
    return keys
