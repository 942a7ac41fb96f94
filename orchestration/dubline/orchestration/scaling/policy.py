"""How a pool of workers is to be scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dubline.orchestration.scaling.observation import Observation


class Basis(StrEnum):
    """The number from which the count of workers follows."""

    BACKLOG = "backlog"
    """Predicted device seconds, divided by the seconds in which they are to be worked off."""
    DEPTH = "depth"
    """Waiting and running jobs, divided by the jobs for each worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of one pool."""

    pool: str
    """Name of the pool."""
    presets: frozenset[str] = frozenset()
    """The presets that its workers render."""
    price_per_hour: float = 0.0
    """Money for an hour of one worker."""
    floor: int = 0
    """Fewest workers."""
    ceiling: int
    """Most workers. More stay only while they are busy."""
    basis: Basis = Basis.BACKLOG
    target_s: float = 2400.0
    """Seconds in which the backlog is to be worked off; only used by `Basis.BACKLOG`."""
    jobs_per_worker: int = 20
    """Waiting and running jobs for each worker; only used by `Basis.DEPTH`."""
    cold_start_s: float
    """Measured seconds from the request for a worker until it is ready."""
    cooldown_s: float
    """Idle workers stay until so many seconds have passed since they were last needed; at least `cold_start_s`."""
    start_limit_s: float
    """A worker that is not ready after so many seconds is stuck; more than `cold_start_s`."""
    step_up: int = 50
    """Most workers that one decision adds; the floor is reached at once."""
    step_down: int = 50
    """Most idle workers that one decision removes; the ceiling is reached at once."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            ValueError: with the setting, its value and the expected one.
        """
        expected = {
            f"floor is {self.floor}, ceiling is {self.ceiling}: expected 0 <= floor <= ceiling": (
                0 <= self.floor <= self.ceiling
            ),
            f"target_s is {self.target_s}: expected more than 0": 0 < self.target_s < math.inf,
            f"jobs_per_worker is {self.jobs_per_worker}: expected at least 1": self.jobs_per_worker >= 1,
            f"cold_start_s is {self.cold_start_s}: expected at least 0": self.cold_start_s >= 0,
            f"cooldown_s is {self.cooldown_s}: expected at least cold_start_s, {self.cold_start_s}, because a worker "
            "that leaves earlier costs more than it saves": self.cooldown_s >= self.cold_start_s,
            f"start_limit_s is {self.start_limit_s}: expected more than cold_start_s, {self.cold_start_s}": (
                self.start_limit_s > self.cold_start_s
            ),
            f"step_up is {self.step_up}, step_down is {self.step_down}: expected at least 1": (
                self.step_up >= 1 and self.step_down >= 1
            ),
        }
        wrong = [message for message, holds in expected.items() if not holds]
        if wrong:
            raise ValueError(f"The policy of pool {self.pool} is not valid: {'; '.join(wrong)}.")

    def wanted(self, observation: Observation) -> int:
        """Return how many workers the work needs, without regard to any limit.

        Args:
            observation: one in which no number is missing.
        """
        jobs = (observation.waiting or 0) + (observation.running or 0)
        if self.basis is Basis.DEPTH:
            return -(-jobs // self.jobs_per_worker)
        # Sums of floats may leave a rest without any job. Work that is predicted to need no time still needs a worker.
        return max(math.ceil((observation.backlog_s or 0.0) / self.target_s), 1) if jobs else 0
