"""Quarantine of workers: how many failures in a row stop a worker, and for how long.

Failures are counted for each worker in the database, so that the count survives its processes. Only causes that can lie
with the worker count. A success sets the count to zero. After the quarantine the worker tries again, and the next
failure quarantines it for longer.
"""

from __future__ import annotations

from typing import Final

from dubline.orchestration.domain.jobs import Cause

#: Number of failures in a row after which a worker is quarantined: a run of so many defective jobs is unlikely.
FAILURES_IN_A_ROW: Final = 5
#: Seconds of the first and of the longest quarantine; each further failure doubles it.
FIRST_S: Final = 60.0
LONGEST_S: Final = 600.0
#: Causes that can lie with the worker. An outage affects all workers, and the length of a job can exceed any memory.
BLAMED: Final = frozenset({Cause.DEFECT, Cause.WORKER_LOST})


def is_sick(failures: int) -> bool:
    """Return whether so many failures in a row are more likely the worker's fault than that of its jobs."""
    return failures >= FAILURES_IN_A_ROW


def quarantine_s(failures: int) -> float:
    """Return the seconds of quarantine after so many failures in a row, 0 if there is none."""
    if not is_sick(failures):
        return 0.0
    # The exponent is bounded so that a large count cannot overflow.
    return min(LONGEST_S, FIRST_S * 2.0 ** min(failures - FAILURES_IN_A_ROW, 16))
