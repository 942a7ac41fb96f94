"""What to do with a failed attempt: a pure function from the error to a decision.

The worker's executor calls ``decide`` with whatever it caught and hands the decision to the store.
"""

from __future__ import annotations

from dataclasses import dataclass

from dubline.orchestration import errors
from dubline.orchestration.jobs import ATTEMPT_BUDGET, Cause

FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 120.0
OUT_OF_MEMORY_BUDGET = 2
"""One retry, smaller: a job that does not fit twice does not fit."""
DETAIL_MAX_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a pause; for ``store.leases.retry``."""

    delay_s: float
    cause: Cause
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up; for ``store.leases.fail``."""

    cause: Cause
    code: str
    detail: str


def decide(error: BaseException, charged: int) -> Retry | Fail:
    """Decide about a failed attempt.

    Args:
        error: what the attempt raised; one outside our tree is a defect and may be told to no tenant.
        charged: attempts charged so far, the failed one included (``lease.charged``), at least 1.

    Returns:
        Retry with a pause of 2, 4, 8 ... at most 120 s, or Fail with the code and sentence for the job.
    """
    # A MemoryError of the interpreter means the same as one of the device.
    known = errors.OutOfMemoryError() if isinstance(error, MemoryError) else error
    if not isinstance(known, errors.DublineError):
        # Defects are retried too: the next worker may run on a sound machine.
        known, retryable, cause = errors.InternalError(), True, Cause.DEFECT
    else:
        retryable, cause = known.retryable, cause_of(known)
    detail = known.detail[:DETAIL_MAX_CHARS]
    if not retryable:
        return Fail(cause=cause, code=known.code, detail=detail)
    budget = OUT_OF_MEMORY_BUDGET if cause is Cause.OUT_OF_MEMORY else ATTEMPT_BUDGET
    if charged >= budget:
        return exhausted(cause, known.code, detail, charged)
    return Retry(delay_s=pause_s(charged), cause=cause, code=known.code, detail=detail)


def exhausted(cause: Cause, code: str, detail: str, charged: int) -> Fail:
    """Give up after the last attempt, telling what the last one ended with."""
    summary = f"The job failed {charged} times and is not tried again. The last attempt ended with {code}: {detail}"
    return Fail(cause=cause, code=errors.AttemptsExhaustedError.code, detail=summary[:DETAIL_MAX_CHARS])


def pause_s(charged: int) -> float:
    """Seconds to wait after the given number of charged attempts (at least 1)."""
    # The exponent is bounded so that a huge count cannot overflow.
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(charged - 1, 16))


def cause_of(error: errors.DublineError) -> Cause:
    """Say which kind of failure an error of our tree is."""
    if isinstance(error, errors.OutOfMemoryError):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, errors.WorkerLostError):
        return Cause.WORKER_LOST
    if isinstance(error, errors.BadInputError):
        return Cause.BAD_INPUT
    return Cause.TRANSIENT if error.retryable else Cause.DEFECT
