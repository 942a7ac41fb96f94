"""What is known about one pool of workers at one time."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The numbers of one pool; None is a number that could not be read."""

    at_s: float
    """Time of the observation, of a clock that never goes back."""
    requested: int
    """Workers that the cluster is asked for now."""
    idle: int | None
    """Ready workers without a job."""
    busy: int | None
    """Ready workers with a job."""
    starting_ages_s: tuple[float, ...] | None
    """For each worker that is not ready, the seconds since it was requested, whether or not its pod exists.
    Infinite for a worker that is known never to become ready, such as one whose image does not exist."""
    waiting: int | None
    """Claimable jobs of the pool's presets."""
    running: int | None
    """Jobs that the pool's workers have claimed."""
    backlog_s: float | None
    """Predicted device seconds: all of the waiting jobs and what is left of the running ones."""

    def missing(self) -> tuple[str, ...]:
        """Name the numbers that are unknown or cannot be true."""
        numbers = {
            "idle": self.idle,
            "busy": self.busy,
            "waiting": self.waiting,
            "running": self.running,
            "backlog_s": self.backlog_s,
        }
        # A comparison with NaN is false.
        names = [name for name, number in numbers.items() if number is None or not 0 <= number < math.inf]
        if self.starting_ages_s is None or any(math.isnan(age_s) for age_s in self.starting_ages_s):
            names.append("starting_ages_s")
        return tuple(names)

    def stuck(self, start_limit_s: float) -> int:
        """Count the workers that were requested longer ago than a start may last."""
        return sum(age_s > start_limit_s for age_s in self.starting_ages_s or ())
