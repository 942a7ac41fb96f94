"""Scores of a mouth opening against what it should have been: timing, closures, vowels, rest in silence.

An opening is the inner-lip gap over the face's height, one value a frame, NaN where no face was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from dubline.training.evaluation.scores.reference import Reference

    Signal = NDArray[np.float64]

#: Lips that touch measure less than this share of the face's height: on 1,000 true corpus frames at 128 px all of the
#: shut ones did (median .001), and 4 % of those more than 2 mm apart. It is about 1.5 mm.
SHUT: Final = 0.01
#: Lips may meet this many frames before or after the phoneme's own.
TOLERANCE_FRAMES: Final = 2
MAX_LAG_FRAMES: Final = 15
MS_PER_FRAME: Final = 40


def correlation(a: Signal, b: Signal) -> float:
    """Pearson correlation where both are known; 0 when one of them does not move."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:  # noqa: PLR2004 - two points make a line
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(a: Signal, b: Signal) -> float:
    """By how many frames, at most `MAX_LAG_FRAMES`, `a` comes after `b`; NaN when no shift makes them rise together."""
    lags = range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1)
    spans = [(a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) + min(0, -lag)]) for lag in lags]
    found = [correlation(*span) for span in spans]
    best = int(np.argmax(found))
    return float(lags[best]) if found[best] > 0 else float("nan")


def closed(opening: Signal, closures: Iterable[range]) -> tuple[int, int]:
    """How many closures have the lips shut in some frame near them, and how many could be judged."""
    spans = [opening[max(0, span.start - TOLERANCE_FRAMES) : span.stop + TOLERANCE_FRAMES] for span in closures]
    seen = [span for span in spans if np.isfinite(span).any()]
    return sum(bool(np.nanmin(span) < SHUT) for span in seen), len(seen)


def shut_vowels(opening: Signal, vowels: Iterable[int]) -> tuple[int, int]:
    """How many open vowels have the lips shut in their middle frame, and how many could be judged."""
    seen = [opening[frame] for frame in vowels if frame < len(opening) and np.isfinite(opening[frame])]
    return sum(bool(value < SHUT) for value in seen), len(seen)


def speeds(opening: Signal, where: NDArray[np.bool_]) -> Signal:
    """How fast the lips move, in face heights a frame, between neighbours that both lie in `where` (T,)."""
    count = min(len(opening), len(where))
    inside = where[: count - 1] & where[1:count]
    change = np.abs(np.diff(opening[:count]))[inside]
    return change[np.isfinite(change)]


class LipTally:
    """Gathers one performer's openings over many clips and scores them together."""

    def __init__(self) -> None:
        self.correlations: list[float] = []
        self.lags: list[float] = []
        self.closures, self.vowels = np.zeros(2, int), np.zeros(2, int)
        self.silent: list[Signal] = []
        self.spoken: list[Signal] = []

    def add(self, opening: Signal, reference: Reference) -> None:
        """Score one opening (T,) against what its speech asked for; all of either's extra frames are left out."""
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
        """Mean of the correlations, median lag, and rates over all events of all clips; NaN where nothing was seen."""
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
    """Mean of one list of samples over the mean of another."""
    if not (any(map(len, above)) and any(map(len, below))):
        return float("nan")
    speed = float(np.concatenate(below).mean())
    return float(np.concatenate(above).mean()) / speed if speed > 0 else float("nan")
