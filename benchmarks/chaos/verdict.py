"""What a checker found in a history, and the figures that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the jobs of one or more phases."""

    jobs: int = 0
    """That the service accepted."""
    kills: int = 0
    """SIGKILLs, of whatever process."""
    kills_of_held: int = 0
    """Of them, those that hit a process while it held a job that it did not finish."""
    lost: tuple[str, ...] = ()
    """Accepted jobs that did not end in exactly the promised video, each with the reason."""
    committed_twice: tuple[str, ...] = ()
    """Jobs with more than one outcome, each with the reason."""
    differing: tuple[str, ...] = ()
    """Videos unlike those of an uninterrupted run."""
    zombie_writes_refused: int = 0
    """Writes of attempts whose lease was no longer in force."""
    recoveries_s: tuple[float, ...] = field(default=())
    """From each kill of a held job to the next claim of that job."""
    busy_s: float = 0.0
    """Seconds that workers held jobs."""
    redone_s: float = 0.0
    """Of them, those whose work a kill undid."""

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, nothing happened twice and every video is the right one."""
        return not (self.lost or self.committed_twice or self.differing)

    @property
    def redone_share(self) -> float:
        """Share of the workers' time that kills undid."""
        return self.redone_s / self.busy_s if self.busy_s else 0.0

    def recovery_s(self, share: float) -> float:
        """A quantile of the recoveries (nearest rank); NaN where there were none."""
        return quantile(self.recoveries_s, share)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all values does not exceed; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
