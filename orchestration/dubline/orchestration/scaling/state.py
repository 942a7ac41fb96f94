"""What earlier decisions leave for later ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

#: Seconds without a request for more workers, after the first start that failed. Doubled after each further one.
FIRST_PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """State of one pool. A process that has just started begins with `State()`."""

    targets: tuple[tuple[float, int], ...] = ()
    """Times and counts of earlier targets within the cooldown. Only those above all later ones matter, so the times
    rise and the counts fall."""
    ready: int = 0
    """Ready workers at the last decision."""
    failures: int = 0
    """Pauses that were needed since a worker last became ready."""
    resume_at_s: float = -math.inf
    """No more workers are requested before this time."""

    def with_target(self, at_s: float, target: int, cooldown_s: float) -> State:
        """Add a target, and forget those that are older than the cooldown."""
        kept = tuple(one for one in self.targets if one[1] > target and one[0] > at_s - cooldown_s)
        return replace(self, targets=(*kept, (at_s, target)))

    def with_starts(self, at_s: float, ready: int, stuck: int) -> State:
        """Add what became of the workers that were requested.

        A worker that became ready ends the series of failures. Stuck workers begin a pause, unless one is in progress.
        """
        succeeded = ready > self.ready
        failures = 0 if succeeded and not stuck else self.failures
        resume_at_s = self.resume_at_s
        if stuck and at_s >= resume_at_s:
            resume_at_s = at_s + min(FIRST_PAUSE_S * 2.0 ** min(failures, 16), LONGEST_PAUSE_S)
            failures += 1
        return replace(self, ready=ready, failures=failures, resume_at_s=resume_at_s)

    @property
    def highest(self) -> int:
        """Highest target within the cooldown."""
        return self.targets[0][1]
