"""Scores of sampled motion with and without the edits that are applied to it: lips in silence, lip noise, blinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dubline.training.evaluation.scores.mouth_opening import LipTally
from dubline.training.evaluation.scores.reference import FPS, runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.evaluation.generation.generated import GeneratedClip
    from dubline.training.evaluation.landmarks.client import FaceMeasurements
    from dubline.training.evaluation.scores.reference import Reference

#: Rows by mode.
ROWS: Final = {
    "truth": "ground truth",
    "speech": "as released",
    "unheld": "shut_in_silence 0",
    "unedited": "as sampled",
}
#: Eyes are shut below this share of their median opening. A rendered blink comes down to .2 to .6 of it.
BLINK: Final = 0.7


def override_scores(
    results: Sequence[GeneratedClip], references: Mapping[str, Reference], faces: Mapping[Path, FaceMeasurements]
) -> dict[str, dict[str, float]]:
    """Score each mode of `ROWS`: lips, closures, motion in silence, and `blink_rate` per minute.

    Args:
        results: clips with speech.
        references: by name of the clip.
        faces: measurements by video; videos without measurements are left out.
    """
    table = {}
    for mode, row in ROWS.items():
        tally, blinks, frames = LipTally(), 0, 0
        for result in results:
            measured = faces.get(result.videos[mode]) if mode in result.videos else None
            if measured is None:
                continue
            tally.add(measured.opening, references[result.name])
            blinks += count_blinks(measured.eyes)
            frames += len(measured.eyes)
        scores = tally.scores()
        scores.pop("av_lag_ms")
        table[row] = {**scores, "blink_rate": blinks * FPS * 60 / frames if frames else float("nan")}
    return table


def count_blinks(eyes: NDArray[np.float64]) -> int:
    """Count the spans in which the eyes (T,) are nearly shut; spans that touch an end are counted too."""
    if not np.isfinite(eyes).any():
        return 0
    return len(runs(np.nan_to_num(eyes, nan=np.inf) < BLINK * np.nanmedian(eyes)))
