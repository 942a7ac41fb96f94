"""How long a light job works: the same for us and for the rival."""

from __future__ import annotations

from typing import Final

SHORTEST_S: Final = 0.002
STEP_S: Final = 0.001
STEPS: Final = 7
LONG_EVERY: Final = 25
LONG_S: Final = 0.4
#: Variable by which a light worker is told its stretch.
STRETCH: Final = "DUBLINE_CHAOS_STRETCH"


def work_s(number: int, stretch: float = 1.0) -> float:
    """Seconds that a job works: 2 to 8 ms, and 0.4 s for one in 25, so that kills find somebody at work.

    Args:
        number: of the job.
        stretch: makes the short ones longer, but no longer than the long ones.
    """
    if number % LONG_EVERY == 0:
        return LONG_S
    return min(LONG_S, stretch * (SHORTEST_S + STEP_S * (number % STEPS)))
