"""Quarantine of workers: how many failures in a row cast doubt on a worker, and how long it stops if it is at fault.

Failures are counted for each worker in the database, so that the count survives its processes. Only causes that can lie
with the worker count. A success sets the count to zero.

The count alone does not tell a defective worker from a run of defective jobs, which one tenant can send to all workers.
So from `FAILURES_IN_A_ROW` on a worker claims no job before it has rendered a file of its own, its self-test. If that
succeeds, its jobs are at fault and the count is set to zero. If it fails, the worker is quarantined; it then repeats
the self-test, and each further failure doubles the quarantine.
"""

from __future__ import annotations

import math
from typing import Final

from dubline.orchestration.domain.jobs import Cause

#: Number of failures in a row after which a worker tests itself: the smallest number of failures that ends a job whose
#: only worker is this one, so that a defective worker ends no job.
FAILURES_IN_A_ROW: Final = 3
#: Seconds of the first and of the longest quarantine; each further failure doubles it.
FIRST_S: Final = 60.0
LONGEST_S: Final = 600.0
#: Causes that can lie with the worker. An outage affects all workers.
BLAMED: Final = frozenset({Cause.DEFECT, Cause.OUT_OF_MEMORY, Cause.WORKER_LOST})
#: Seconds of quarantine that `workers.read` returns while a self-test that began has not ended.
UNFINISHED_TEST: Final = math.inf


def is_sick(failures: int) -> bool:
    """Return whether so many failures in a row are reason to doubt the worker."""
    return failures >= FAILURES_IN_A_ROW


def quarantine_s(failures: int) -> float:
    """Return the seconds of quarantine after a failed self-test that so many failures in a row preceded, 0 if none."""
    if not is_sick(failures):
        return 0.0
    # The exponent is bounded so that a large count cannot overflow.
    return min(LONGEST_S, FIRST_S * 2.0 ** min(failures - FAILURES_IN_A_ROW, 16))
