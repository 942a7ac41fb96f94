"""Scores against recordings of people: how wide, when and with which brightness their mouths open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dubline.training.evaluation.scores.mouth_opening import MS_PER_FRAME, best_lag, correlation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.evaluation.generation.generated import GeneratedClip
    from dubline.training.evaluation.landmarks.client import FaceMeasurements

NAN: Final = float("nan")


class Talker(NamedTuple):
    """Measurements of one recording and of the video generated from its first frame and its sound."""

    truth: FaceMeasurements
    made: FaceMeasurements
    loudness: NDArray[np.float64]
    """(T,)."""


def talker_scores(
    results: Sequence[GeneratedClip], faces: Mapping[Path, FaceMeasurements], mode: str = "speech"
) -> dict[str, float]:
    """Score the clips without labels; {} without any.

    Returns:
        `lip_correlation` with the recording's opening and its lag; `spread_ratio`, standard deviation of the opening
        over the recording's; `teeth_ratio`, brightness between parted lips over the recording's;
        `loudness_correlation` and that of the recordings; `wrong_sound`, the mean correlation with the other
        recordings.
    """
    talkers = [
        Talker(faces[result.videos["truth"]], faces[result.videos[mode]], result.reference.loudness)
        for result in results
        if not result.labelled
        and mode in result.videos
        and {result.videos["truth"], result.videos[mode]} <= faces.keys()
    ]
    if not talkers:
        return {}
    rows = [_score(talker) for talker in talkers]
    others = [_correlation(a.made.opening, b.truth.opening) for a in talkers for b in talkers if a is not b]
    return {
        "recordings": float(len(talkers)),
        **{key: _mean([row[key] for row in rows]) for key in rows[0]},
        "wrong_sound": _mean(others),
    }


def _score(talker: Talker) -> dict[str, float]:
    truth, made = talker.truth, talker.made
    count = min(len(truth.opening), len(made.opening))
    wide, wanted = np.nanstd(made.opening), np.nanstd(truth.opening)
    return {
        "lip_correlation": _correlation(made.opening, truth.opening),
        "av_lag_ms": best_lag(made.opening[:count], truth.opening[:count]) * MS_PER_FRAME,
        "spread_ratio": float(wide / wanted) if wanted > 0 else NAN,
        "teeth_ratio": _mean(made.between.tolist()) / _mean(truth.between.tolist()),
        "loudness_correlation": _correlation(made.opening, talker.loudness),
        "loudness_correlation_of_recordings": _correlation(truth.opening, talker.loudness),
    }


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    count = min(len(a), len(b))
    return correlation(a[:count], b[:count])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else NAN
