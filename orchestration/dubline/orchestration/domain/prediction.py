"""Learned rates: how long a pool of workers takes for a second of work, and how sure that is.

The work of a job follows from its speech, preset and pixels (`domain.cost`). Its rate is the time for which an attempt
occupies its worker, divided by its work. The logarithm of the rate has an exponentially weighted mean and variance for
each preset, pool and size of crop. Each finished attempt changes them in the statement that records it
(`store.attempts.learning`); `learn` is the reference.

- An attempt is clipped to twice the standard deviation around the mean, at least a factor of 2, so that one slow
  attempt changes a prediction little.
- What was learned counts half after `HALF_LIFE_ATTEMPTS` further attempts, and its weight halves in `HALF_LIFE_S`
  without any.
- Where little was learned, other sizes of the same preset and pool, then the pool, then the work itself are the prior.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Attempts after which an attempt counts half.
HALF_LIFE_ATTEMPTS: Final = 16
#: Largest weight, which gives this half-life.
MEMORY: Final = HALF_LIFE_ATTEMPTS / math.log(2)
#: Seconds without an attempt after which the weight is half: a week.
HALF_LIFE_S: Final = 7 * 86_400.0
#: Largest logarithm of a rate, of either sign: a factor of 1000.
WIDEST: Final = math.log(1000)
#: Clipping never moves an attempt that is closer to the mean than a factor of 2.
LEAST_CLIP: Final = math.log(2)
#: Standard deviations from which attempts are clipped.
CLIP: Final = 2.0
#: Standard deviation of the logarithm of an unknown rate: machines differ by a factor of e, up or down.
PRIOR_DEVIATION: Final = 1.0
#: Attempts that the prior counts as.
PRIOR_WEIGHT: Final = 0.5
#: Bounds of the cost of a second of work in the fair queue, and of its inverse.
LARGEST_FAIR_FACTOR: Final = 4.0
#: Nothing is learned from a resumed attempt that rendered less of the video.
LEAST_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRate:
    """What was learned about one preset, pool and size of crop."""

    preset: str
    pool: str
    crop_size: str
    log_rate: float
    """Mean of the logarithm."""
    variance: float
    """Of the logarithm, between attempts."""
    weight: float
    """Attempts that it counts as, at the time of reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The prediction for one preset, pool and size of crop."""

    factor: float
    """Seconds on a worker for a second of work, on average."""
    error: float
    """Standard error of the average, relative to it: what many jobs have in common."""
    deviation: float
    """Standard deviation between jobs, relative."""

    @property
    def job_error(self) -> float:
        """Standard error of the prediction for one job, relative to it."""
        return math.hypot(self.error, self.deviation)


#: What is expected before anything was learned.
UNKNOWN: Final = Rate(factor=1.0, error=PRIOR_DEVIATION / math.sqrt(PRIOR_WEIGHT), deviation=PRIOR_DEVIATION)


def learn(before: LearnedRate, log_rate: float, share: float = 1.0, elapsed_s: float = 0.0) -> LearnedRate:
    """Learn from one finished attempt.

    Args:
        before: what was learned until now; with weight 0 nothing was.
        log_rate: logarithm of the attempt's rate.
        share: of the video that the attempt rendered, more than 0, at most 1.
        elapsed_s: seconds since the last attempt.
    """
    log_rate = min(max(log_rate, -WIDEST), WIDEST)
    if before.weight <= 0:
        return replace(before, log_rate=log_rate, variance=0.0, weight=share)
    weight = min(before.weight, MEMORY) * 0.5 ** (max(elapsed_s, 0.0) / HALF_LIFE_S)
    clip = max(LEAST_CLIP, CLIP * math.sqrt(_variance(before.variance, weight)))
    step = min(max(log_rate - before.log_rate, -clip), clip)
    gain = share / (weight + share)
    return replace(
        before,
        log_rate=before.log_rate + gain * step,
        variance=(1 - gain) * (before.variance + gain * step * step),
        weight=weight + share,
    )


class Predictor:
    """Predicts times from learned rates.

    Args:
        learned: at most one for each preset, pool and size of crop.
    """

    def __init__(self, learned: Iterable[LearnedRate] = ()) -> None:
        self._learned = {(one.preset, one.pool, one.crop_size): one for one in learned}
        self._rates: dict[tuple[str, str | None, str], Rate] = {}
        self._of_pools = _means((one.pool, one) for one in self._learned.values())
        self._of_presets = _means(((one.preset, one.pool), one) for one in self._learned.values())

    def rate(self, preset: str, pool: str | None, crop_size: str) -> Rate:
        """Return the rate of a preset and size of crop on a pool.

        Args:
            preset: name of the preset.
            pool: name of the pool; None: any, each by what was learned there.
            crop_size: a `domain.cost.CropSize`.
        """
        key = (preset, pool, crop_size)
        if key not in self._rates:
            self._rates[key] = self._rate(preset, pool, crop_size)
        return self._rates[key]

    def fair_factor(self, preset: str, crop_size: str) -> float:
        """Return what a second of work costs in the fair queue: its rate, relative to that of the average attempt.

        Only ratios of costs matter there. In seconds, work that was charged before the first attempt on a fast device
        would count many times as much as later work.
        """
        total = sum(one.weight for one in self._learned.values())
        if total <= 0:
            return 1.0
        mean = sum(
            one.weight / total * self.rate(one.preset, one.pool, one.crop_size).factor for one in self._learned.values()
        )
        relative = self.rate(preset, None, crop_size).factor / mean
        return min(max(relative, 1 / LARGEST_FAIR_FACTOR), LARGEST_FAIR_FACTOR)

    def _rate(self, preset: str, pool: str | None, crop_size: str) -> Rate:
        if pool is None:
            return self._on_any(preset, crop_size)
        prior = self._of_presets.get((preset, pool), self._of_pools.get(pool, 0.0))
        learned = self._learned.get((preset, pool, crop_size))
        if learned is None:
            return _rate_of(prior, PRIOR_DEVIATION**2, 0.0)
        weight = learned.weight + PRIOR_WEIGHT
        mean = (PRIOR_WEIGHT * prior + learned.weight * learned.log_rate) / weight
        return _rate_of(mean, _variance(learned.variance, learned.weight), learned.weight)

    def _on_any(self, preset: str, crop_size: str) -> Rate:
        """Average the pools that rendered the preset, or anything, weighted by the attempts they count as."""
        pools = [one for one in self._learned.values() if one.preset == preset] or list(self._learned.values())
        total = sum(one.weight for one in pools)
        if total <= 0:
            return UNKNOWN
        rates = [(one.weight / total, self.rate(preset, one.pool, crop_size)) for one in pools]
        return Rate(
            factor=sum(share * rate.factor for share, rate in rates),
            error=sum(share * rate.error for share, rate in rates),
            deviation=sum(share * rate.deviation for share, rate in rates),
        )


def _variance(variance: float, weight: float) -> float:
    """Return the variance between attempts, of which few tell little."""
    return (PRIOR_WEIGHT * PRIOR_DEVIATION**2 + weight * variance) / (PRIOR_WEIGHT + weight)


def _rate_of(log_rate: float, variance: float, weight: float) -> Rate:
    deviation = math.sqrt(variance)
    # Backlogs are sums, so the arithmetic mean is needed; before much is known, the middle is a better guess.
    skew = variance / 2 * weight / (weight + PRIOR_WEIGHT)
    return Rate(
        factor=math.exp(min(max(log_rate + skew, -WIDEST), WIDEST)),
        error=deviation / math.sqrt(weight + PRIOR_WEIGHT),
        deviation=deviation,
    )


def _means(groups: Iterable[tuple[object, LearnedRate]]) -> dict[object, float]:
    """Return the weighted mean of the logarithms in each group."""
    sums: defaultdict[object, float] = defaultdict(float)
    weights: defaultdict[object, float] = defaultdict(float)
    for key, one in groups:
        sums[key] += one.weight * one.log_rate
        weights[key] += one.weight
    return {key: sums[key] / weight for key, weight in weights.items() if weight > 0}
