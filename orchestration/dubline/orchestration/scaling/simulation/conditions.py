"""What every policy of a simulation has in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The simulated machines and the aim."""

    cold_start_s: float = 600.0
    """Median seconds from the request for a worker until it is ready. All of them are paid."""
    cold_start_sigma: float = 0.3
    """Standard deviation of the logarithm of the cold start."""
    failed_share: float = 0.02
    """Share of the requested workers that never become ready. They occupy a device until they are removed."""
    spot_life_s: float = 12 * 3600.0
    """Mean seconds until the provider withdraws a machine. Its pod is replaced at once."""
    segment_s: float = 30.0
    """Device seconds of a segment. A worker that is removed or withdrawn loses its unfinished segment."""
    resume_s: float = 5.0
    """Device seconds that a further attempt at a job costs in addition."""
    ceiling: int = 100
    """Most workers."""
    wait_target_s: float = 3600.0
    """Seconds from its arrival in which a job is to be finished."""
    price_per_hour: float = 2.5
    """Money for an hour of one device."""

    @property
    def start_limit_s(self) -> float:
        """Seconds after which a worker that is not ready is stuck."""
        return 3.0 * self.cold_start_s
