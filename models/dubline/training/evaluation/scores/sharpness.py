"""Sharpness of a frame (variance of its Laplacian) and its drift along a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Box = tuple[slice, slice]

LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
#: Share of a video at its start and at its end that drift compares.
DRIFT_SHARE: Final = 0.1


def sharpness(picture: NDArray[np.uint8], box: Box) -> float:
    """Return the variance of the Laplacian of luma inside a box of a frame (H, W, 3), in squared grey levels."""
    grey = picture[box].astype(np.float32) @ LUMA
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    return float(laplacian.var()) if laplacian.size else float("nan")


def drift(values: Sequence[float]) -> float:
    """Return the median of the last tenth over that of the first tenth.

    Medians make a blink no drift. Of fewer than ten values the first and the last are compared. 0 if the last tenth has
    no finite value; NaN if the first tenth has none.
    """
    tenths = min(round(1 / DRIFT_SHARE), max(2, len(values)))
    first, *_, last = np.array_split(np.asarray(values, np.float64), tenths)
    if not np.isfinite(first).any() or np.nanmedian(first) == 0:
        return float("nan")
    return float(np.nanmedian(last) / np.nanmedian(first)) if np.isfinite(last).any() else 0.0


def worse(*ratios: float) -> float:
    """Return the ratio that is farthest from 1 as a factor. 0 is the farthest; NaN is ignored."""
    known = [max(ratio, 0.0) for ratio in ratios if np.isfinite(ratio)]
    return max(known, key=lambda ratio: abs(np.log(ratio)) if ratio else np.inf, default=float("nan"))
