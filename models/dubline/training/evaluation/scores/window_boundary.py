"""Looks for seams: do frames differ more where two sampled windows join than anywhere else?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.models.sampling import FADE_FRAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

PERCENTILES: Final = (5, 25, 50, 75, 95)


class BoundaryTally:
    """Gathers frame differences of many videos, each relative to its own median away from joints.

    A joint is the step across the border and the frames after it over which the sampler lets the two windows'
    difference fade: a jump would show in the one, a slide that replaces it in the others.
    """

    def __init__(self) -> None:
        self.borders: list[NDArray[np.float64]] = []
        self.fades: list[NDArray[np.float64]] = []
        self.others: list[NDArray[np.float64]] = []

    def add(self, differences: NDArray[np.float64], borders: Iterable[int]) -> None:
        """Take one video's differences (T - 1,), frame t + 1 against frame t, and the frames that begin a window."""
        frames, at = np.arange(len(differences)) + 1, np.array(list(borders), dtype=int)
        border = np.isin(frames, at)
        fade = np.isin(frames, at[:, None] + np.arange(1, FADE_FRAMES)) & ~border
        other = ~border & ~fade
        typical = float(np.median(differences[other])) if other.any() else 0.0
        if typical > 0:
            self.borders.append(differences[border] / typical)
            self.fades.append(differences[fade] / typical)
            self.others.append(differences[other] / typical)

    def scores(self) -> dict[str, Any]:
        """Median over the median elsewhere, and the distributions.

        `border_ratio` is of the steps across borders, `fade_ratio` of the frames after them, `seam_ratio` the larger
        (1 = no seam). `above` is how often a border beats another place.
        """
        borders, fades, others = (
            np.concatenate([*values, np.empty(0)]) for values in (self.borders, self.fades, self.others)
        )
        if not (len(borders) and len(fades) and len(others)):
            return {"seam_ratio": float("nan"), "borders": 0}
        ranks = np.searchsorted(np.sort(others), borders) / len(others)
        border_ratio, fade_ratio = (float(np.median(values) / np.median(others)) for values in (borders, fades))
        return {
            "seam_ratio": max(border_ratio, fade_ratio),
            "border_ratio": border_ratio,
            "fade_ratio": fade_ratio,
            "borders": len(borders),
            "above": float(ranks.mean()),
            "percentiles": list(PERCENTILES),
            "at_borders": np.percentile(borders, PERCENTILES).round(4).tolist(),
            "in_fades": np.percentile(fades, PERCENTILES).round(4).tolist(),
            "elsewhere": np.percentile(others, PERCENTILES).round(4).tolist(),
        }


def difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two pictures (H, W, 3), in grey levels."""
    return float(np.abs(after.astype(np.int16) - before).mean())
