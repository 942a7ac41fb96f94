"""The workload: the work that waits and runs, the workers that are alive, and the rates that were learned."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dubline.orchestration.domain.backlog import Waiting
    from dubline.orchestration.domain.prediction import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Jobs of one preset and size of crop in one place."""

    waiting: Waiting
    pool: str | None
    """Pool that renders them; None if they are not running."""
    preset: str
    crop_size: str
    jobs: int
    work_s: float
    """Their work (see `domain.cost`); of running jobs, what is left of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the database holds at one time."""

    work: tuple[Work, ...]
    workers: Mapping[str, int]
    """Live workers by pool."""
    predictor: Predictor

    def on_any(self, place: Waiting, preset: str | None = None) -> Predicted:
        """Predict the time of the jobs in one place: of running ones on their pool, of others on any.

        Args:
            place: where they are.
            preset: of the jobs; None: of all.
        """
        found = (one for one in self.work if one.waiting == place and preset in {None, one.preset})
        return sum((self._predicted(one.pool, [one]) for one in found), Predicted())

    def times(self, pool: str, *places: Waiting) -> dict[str, Predicted]:
        """Predict the time that a pool takes for the jobs in some places, by preset."""
        found: defaultdict[str, list[Work]] = defaultdict(list)
        for one in self.work:
            if one.waiting in places and one.pool in {None, pool}:
                found[one.preset].append(one)
        return {preset: self._predicted(pool, work) for preset, work in found.items()}

    def _predicted(self, pool: str | None, work: list[Work]) -> Predicted:
        total = Predicted()
        for one in work:
            rate = self.predictor.rate(one.preset, pool, one.crop_size)
            device_s = rate.factor * one.work_s
            total += Predicted(
                jobs=one.jobs,
                device_s=device_s,
                # Errors of jobs average out, the error of the rate does not.
                error_s=device_s * (rate.error**2 + rate.deviation**2 / max(one.jobs, 1)) ** 0.5,
            )
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The predicted time of some jobs on a pool."""

    jobs: float = 0
    device_s: float = 0.0
    error_s: float = 0.0
    """Standard error."""

    def __add__(self, other: Predicted) -> Predicted:
        """Add the times of other jobs, whose errors are independent."""
        return Predicted(
            jobs=self.jobs + other.jobs,
            device_s=self.device_s + other.device_s,
            error_s=(self.error_s**2 + other.error_s**2) ** 0.5,
        )

    def __mul__(self, share: float) -> Predicted:
        """Return a share of the jobs."""
        return Predicted(jobs=self.jobs * share, device_s=self.device_s * share, error_s=self.error_s * share)
