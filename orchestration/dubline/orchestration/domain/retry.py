"""What to do with a failed attempt: a pure function from the error to a decision.

The worker's executor calls `decide` with whatever it caught and hands the decision to the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain import errors
from dubline.orchestration.domain.jobs import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_DELAY_S: Final = 2.0
LONGEST_DELAY_S: Final = 120.0
#: Share of a pause by which it may be shorter or longer, so that jobs that failed together do not return together.
JITTER: Final = 0.25
#: Attempts that may fail by one cause before the job is final; causes do not eat each other's budgets.
BUDGETS: Final[Mapping[Cause, int]] = {
    # A bucket or database that is away says nothing about the job: the pauses add up to more than an hour.
    Cause.TRANSIENT: 48,
    # Three crashes or defects are no accident.
    Cause.WORKER_LOST: 3,
    Cause.DEFECT: 3,
    # A job that does not fit twice does not fit.
    Cause.OUT_OF_MEMORY: 2,
}
#: Causes whose earlier attempts stop counting once an attempt has stored a checkpoint: a job that makes progress is not
#: a poison pill, however often machines and servers fail.
RESET_ON_PROGRESS: Final = frozenset({Cause.WORKER_LOST, Cause.TRANSIENT})
DETAIL_MAX_CHARS: Final = 2000
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a pause; for `store.leases.retry`."""

    delay_s: float
    cause: Cause
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up; for `store.leases.fail`."""

    cause: Cause
    code: str
    detail: str


def decide(error: BaseException, charged: Mapping[Cause, int], jitter: float | None = None) -> Retry | Fail:
    """Decide about a failed attempt.

    Args:
        error: what the attempt raised; one outside our tree is a defect and may be told to no tenant.
        charged: earlier attempts of the job that were charged, by cause (`lease.charged`).
        jitter: as for `pause_s`.

    Returns:
        Retry with a pause of about 2, 4, 8 ... at most 120 s, or Fail with the code and sentence for the job.
        Pause and budget go by the attempts that this error's cause has cost.
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
    count = charged.get(cause, 0) + 1
    if count >= BUDGETS[cause]:
        return _exhausted(cause, known.code, detail, count)
    return Retry(delay_s=pause_s(count, jitter), cause=cause, code=known.code, detail=detail)


def _exhausted(cause: Cause, code: str, detail: str, count: int) -> Fail:
    summary = (
        f"{count} attempts failed (cause: {cause}) and the job is not tried again. "
        f"The last one ended with {code}: {detail}"
    )
    return Fail(cause=cause, code=errors.AttemptsExhaustedError.code, detail=summary[:DETAIL_MAX_CHARS])


def pause_s(count: int, jitter: float | None = None) -> float:
    """Seconds to wait after the given number of failures (at least 1).

    Args:
        count: failures.
        jitter: -1 for the shortest pause, 0 for the middle, 1 for the longest; drawn where it is None.
    """
    drawn = _random.uniform(-1.0, 1.0) if jitter is None else jitter
    # The exponent is bounded so that a huge count cannot overflow.
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(count - 1, 16)) * (1.0 + JITTER * drawn)


def cause_of(error: errors.DublineError) -> Cause:
    """Say which kind of failure an error of our tree is."""
    if isinstance(error, errors.OutOfMemoryError):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, (errors.WorkerLostError, errors.DeviceFailedError)):
        return Cause.WORKER_LOST
    if isinstance(error, errors.BadInputError):
        return Cause.BAD_INPUT
    if isinstance(error, errors.EncoderFailedError):
        # A program that crashed. No outage, so a job that breaks it must not render many times.
        return Cause.DEFECT
    return Cause.TRANSIENT if error.retryable else Cause.DEFECT
