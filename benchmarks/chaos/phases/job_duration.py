"""Duration of a light job, the same in our phase and in the Celery baseline."""

from __future__ import annotations

from typing import Final

SHORTEST_S: Final = 0.002
STEP_S: Final = 0.001
STEPS: Final = 7
LONG_EVERY: Final = 25
LONG_S: Final = 0.4
#: Environment variable of a light worker with the factor of `job_duration_s`.
DURATION_FACTOR: Final = "DUBLINE_CHAOS_DURATION_FACTOR"


def job_duration_s(number: int, factor: float = 1.0) -> float:
    """Return the duration of a job: 2 to 8 ms, and 0.4 s for one job in 25, so that kills find busy workers.

    Args:
        number: number of the job.
        factor: multiplies the short durations, up to the long one.
    """
    if number % LONG_EVERY == 0:
        return LONG_S
    return min(LONG_S, factor * (SHORTEST_S + STEP_S * (number % STEPS)))
