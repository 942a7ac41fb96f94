"""Window-boundary metric: do frames differ more where two sampled windows join than elsewhere?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.models.sampling import FADE_FRAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

PERCENTILES: Final = (5, 25, 50, 75, 95)


class BoundaryTally:
    """Collects frame differences of many videos, relative to each video's median away from window boundaries.

    A boundary is the step between two windows and the frames after it over which the sampler fades out their
    difference. A jump raises the difference of the step, a slide that of the frames after it.
    """

    def __init__(self) -> None:
        self.steps: list[NDArray[np.float64]] = []
        self.fades: list[NDArray[np.float64]] = []
        self.others: list[NDArray[np.float64]] = []

    def add(self, differences: NDArray[np.float64], boundaries: Iterable[int]) -> None:
        """Add the differences (T - 1,) of a video, frame t + 1 against frame t.

        Args:
            differences: in grey levels.
            boundaries: frames that begin a window.
        """
        frames, at = np.arange(len(differences)) + 1, np.array(list(boundaries), dtype=int)
        step = np.isin(frames, at)
        fade = np.isin(frames, at[:, None] + np.arange(1, FADE_FRAMES)) & ~step
        other = ~step & ~fade
        typical = float(np.median(differences[other])) if other.any() else 0.0
        if typical > 0:
            self.steps.append(differences[step] / typical)
            self.fades.append(differences[fade] / typical)
            self.others.append(differences[other] / typical)

    def scores(self) -> dict[str, Any]:
        """Return the median at boundaries over the median elsewhere, and the distributions.

        `step_ratio` is of the steps between windows, `fade_ratio` of the frames after them, `boundary_ratio` the larger
        of the two (1: boundaries do not show). `above` is the share of other positions that a step exceeds.
        """
        steps, fades, others = (
            np.concatenate([*values, np.empty(0)]) for values in (self.steps, self.fades, self.others)
        )
        if not (len(steps) and len(fades) and len(others)):
            return {"boundary_ratio": float("nan"), "boundaries": 0}
        ranks = np.searchsorted(np.sort(others), steps) / len(others)
        step_ratio, fade_ratio = (float(np.median(values) / np.median(others)) for values in (steps, fades))
        return {
            "boundary_ratio": max(step_ratio, fade_ratio),
            "step_ratio": step_ratio,
            "fade_ratio": fade_ratio,
            "boundaries": len(steps),
            "above": float(ranks.mean()),
            "percentiles": list(PERCENTILES),
            "at_boundaries": np.percentile(steps, PERCENTILES).round(4).tolist(),
            "in_fades": np.percentile(fades, PERCENTILES).round(4).tolist(),
            "elsewhere": np.percentile(others, PERCENTILES).round(4).tolist(),
        }


def difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of two frames (H, W, 3), in grey levels."""
    return float(np.abs(after.astype(np.int16) - before).mean())
