"""Verdict: the violations found in a history and the figures computed from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Result of checking one or more phases."""

    jobs: int = 0
    """Accepted jobs."""
    kills: int = 0
    """SIGKILLs of any process."""
    kills_of_held: int = 0
    """Kills that ended an attempt: the process held a job and did not finish it."""
    lost: tuple[str, ...] = ()
    """Accepted jobs that did not end in exactly the promised video, each with the reason."""
    committed_twice: tuple[str, ...] = ()
    """Jobs with more than one outcome, each with the reason."""
    differing: tuple[str, ...] = ()
    """Videos that differ from those of an uninterrupted run."""
    zombie_writes_refused: int = 0
    """Refused writes of attempts whose lease was no longer in force."""
    recoveries_s: tuple[float, ...] = field(default=())
    """Time from each kill of a held job to the next claim of that job."""
    busy_s: float = 0.0
    """Time during which workers held jobs."""
    redone_s: float = 0.0
    """Part of `busy_s` whose work was lost in kills."""

    @property
    def sound(self) -> bool:
        """Whether no job is lost or committed twice and no video differs."""
        return not (self.lost or self.committed_twice or self.differing)

    @property
    def redone_share(self) -> float:
        """Share of the workers' busy time whose work was lost in kills."""
        return self.redone_s / self.busy_s if self.busy_s else 0.0

    def recovery_s(self, share: float) -> float:
        """Return a quantile of the recovery times (nearest rank); NaN if there are none."""
        return quantile(self.recoveries_s, share)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile by nearest rank; NaN if there are no values."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
