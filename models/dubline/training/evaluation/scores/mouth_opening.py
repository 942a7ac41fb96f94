"""Scores of a mouth opening against its reference: timing, closures, vowels, motion in silence.

An opening is the inner-lip gap over the height of the face, one value per frame, NaN where no face was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from dubline.training.evaluation.scores.reference import Reference

    Signal = NDArray[np.float64]

#: Lips are closed below this share of the face height (about 1.5 mm). Of 1,000 true corpus frames at 128 px, all closed
#: lips measured less (median .001), and so did 4 % of the lips that were more than 2 mm apart.
SHUT: Final = 0.01
#: A closure may be this many frames before or after the phoneme.
TOLERANCE_FRAMES: Final = 2
MAX_LAG_FRAMES: Final = 15
MS_PER_FRAME: Final = 40


def correlation(a: Signal, b: Signal) -> float:
    """Return the Pearson correlation where both values are known; 0 if one of them is constant."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:  # noqa: PLR2004 - two points make a line
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(a: Signal, b: Signal) -> float:
    """Return the lag of `a` behind `b` in frames; NaN without a positive correlation.

    It is at most `MAX_LAG_FRAMES`, and half of a shorter signal: any few values correlate at some lag.

    Args:
        a: (T,).
        b: (T,).
    """
    most = min(MAX_LAG_FRAMES, len(a) // 2)
    lags = range(-most, most + 1)
    spans = [(a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) + min(0, -lag)]) for lag in lags]
    found = [correlation(*span) for span in spans]
    best = int(np.argmax(found))
    return float(lags[best]) if found[best] > 0 else float("nan")


def closed(opening: Signal, closures: Iterable[range]) -> tuple[int, int]:
    """Count the closures with closed lips in some frame near them, and the closures with a known opening."""
    spans = [opening[max(0, span.start - TOLERANCE_FRAMES) : span.stop + TOLERANCE_FRAMES] for span in closures]
    seen = [span for span in spans if np.isfinite(span).any()]
    return sum(bool(np.nanmin(span) < SHUT) for span in seen), len(seen)


def shut_vowels(opening: Signal, vowels: Iterable[int]) -> tuple[int, int]:
    """Count the open vowels with closed lips in their middle frame, and the vowels with a known opening."""
    seen = [opening[frame] for frame in vowels if frame < len(opening) and np.isfinite(opening[frame])]
    return sum(bool(value < SHUT) for value in seen), len(seen)


def speeds(opening: Signal, where: NDArray[np.bool_]) -> Signal:
    """Return the lip speed, in face heights per frame, between neighbouring frames that both lie in `where` (T,)."""
    count = min(len(opening), len(where))
    inside = where[: count - 1] & where[1:count]
    change = np.abs(np.diff(opening[:count]))[inside]
    return change[np.isfinite(change)]


class LipTally:
    """Collects openings of many clips in one mode and scores them together."""

    def __init__(self) -> None:
        self.correlations: list[float] = []
        self.lags: list[float] = []
        self.closures, self.vowels = np.zeros(2, int), np.zeros(2, int)
        self.silent: list[Signal] = []
        self.spoken: list[Signal] = []

    def add(self, opening: Signal, reference: Reference) -> None:
        """Add one opening (T,) with its reference; the longer one is cut."""
        count = min(len(opening), len(reference.opening))
        opening, target = opening[:count], reference.opening[:count]
        known = target[np.isfinite(target)]
        if len(known) and known.std() > 0:
            self.correlations.append(correlation(opening, target))
            self.lags.append(best_lag(opening, target) * MS_PER_FRAME)
        self.closures += closed(opening, reference.closures)
        self.vowels += shut_vowels(opening, reference.vowels)
        self.silent.append(speeds(opening, reference.silent))
        self.spoken.append(speeds(opening, reference.spoken))

    def scores(self) -> dict[str, float]:
        """Return mean correlation, median lag, and rates over all events of all clips; NaN without events."""
        lags = [lag for lag in self.lags if np.isfinite(lag)]
        return {
            "lip_correlation": _mean(self.correlations),
            "av_lag_ms": float(np.median(lags)) if lags else float("nan"),
            "closure_rate": _share(self.closures),
            "false_closure_rate": _share(self.vowels),
            "silence_motion": _ratio(self.silent, self.spoken),
        }


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _share(counted: NDArray[np.int_]) -> float:
    return float(counted[0] / counted[1]) if counted[1] else float("nan")


def _ratio(above: list[Signal], below: list[Signal]) -> float:
    """Return the mean of one list of samples over the mean of another."""
    if not (any(map(len, above)) and any(map(len, below))):
        return float("nan")
    speed = float(np.concatenate(below).mean())
    return float(np.concatenate(above).mean()) / speed if speed > 0 else float("nan")
