"""Mean and confidence interval of a few independent measurements."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Quantiles 0.975 of Student's t distribution for 1, 2, 3 ... degrees of freedom.
T_QUANTILES: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval; its half is infinite with one measurement."""

    mean: float
    half: float


def interval(measured: Sequence[float]) -> Interval:
    """Return the interval of the mean of independent measurements.

    Args:
        measured: at least one value.
    """
    mean = statistics.fmean(measured)
    if len(measured) == 1:
        return Interval(mean, math.inf)
    quantile = T_QUANTILES[min(len(measured) - 1, len(T_QUANTILES)) - 1]
    return Interval(mean, quantile * statistics.stdev(measured) / math.sqrt(len(measured)))
