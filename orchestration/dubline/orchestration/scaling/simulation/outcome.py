"""What a simulation measured."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Outcome:
    """One simulation, or the sum of several."""

    waits_s: list[float] = field(default_factory=list)
    """For each finished job, the seconds from its arrival until it was finished."""
    work_s: float = 0.0
    """Device seconds that the jobs need, without any repetition."""
    device_s: float = 0.0
    """Device seconds that are paid: each worker from its request to its end."""
    killed: int = 0
    """Jobs whose worker was removed by the policy."""
    lost: int = 0
    """Jobs whose machine was withdrawn by the provider."""

    def attained(self, wait_target_s: float) -> float:
        """Return the share of jobs that were finished in time, 0 to 1."""
        return bisect_right(sorted(self.waits_s), wait_target_s) / len(self.waits_s) if self.waits_s else 1.0

    def wait_s(self, share: float) -> float:
        """Return the seconds in which a share of the jobs was finished, by the nearest rank."""
        ordered = sorted(self.waits_s)
        return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else 0.0

    @property
    def ratio(self) -> float:
        """Device hours for an hour of work."""
        return self.device_s / self.work_s if self.work_s else 0.0


def total(outcomes: Iterable[Outcome]) -> Outcome:
    """Add outcomes up."""
    summed = Outcome()
    for outcome in outcomes:
        summed.waits_s.extend(outcome.waits_s)
        summed.work_s += outcome.work_s
        summed.device_s += outcome.device_s
        summed.killed += outcome.killed
        summed.lost += outcome.lost
    return summed
