"""Retry policy of jobs: what is charged against which budget, and the decision about a failed attempt.

Each cause has a budget of its own. A budget counts the distinct workers that failed the job, so that no single worker
can end it; a job avoids a worker that failed it while another is alive that did not. If there is no other, the budget
counts attempts, and the pauses between them are longer. Outages, which affect all workers, are counted by attempt.

An attempt is charged against the budget of its cause if its outcome is `CHARGED_OUTCOME`: an attempt that was released
is not charged, and after any other outcome the job is final. When an attempt has stored a checkpoint, neither this
attempt nor an earlier one is charged for a cause in `RESET_ON_PROGRESS`.

`store.charges` has these rules in SQL, for the attempts that have ended. `charged_after` applies the progress of the
attempt that is about to end. `decide` adds the failure of this attempt and compares the sum with the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain import errors
from dubline.orchestration.domain.jobs import Cause, Outcome
from dubline.orchestration.domain.quarantine import BLAMED

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_DELAY_S: Final = 2.0
LONGEST_DELAY_S: Final = 120.0
#: Largest relative change of a delay, so that jobs that failed together are not retried together.
JITTER: Final = 0.25
#: Outcome of the attempts that are charged.
CHARGED_OUTCOME: Final = Outcome.RETRIED
#: Exponent that the pause of a worker without an alternative has in addition: about 32 s, then 64 s.
ALONE_EXPONENT: Final = 4
#: Number of workers that failed, or of failed attempts (see above), per cause after which the job fails.
BUDGETS: Final[Mapping[Cause, int]] = {
    # An outage of the bucket or the database is not the job's fault: the delays add up to more than an hour.
    Cause.TRANSIENT: 48,
    # Three workers with crashes or defects are unlikely to be a coincidence.
    Cause.WORKER_LOST: 3,
    Cause.DEFECT: 3,
    # The second attempt uses half the batch; if that fails too, a third is not expected to succeed.
    Cause.OUT_OF_MEMORY: 2,
}
#: Causes that are not charged up to the last attempt that stored a checkpoint: a job that makes progress is not a
#: poison pill, however often machines and servers fail.
RESET_ON_PROGRESS: Final = frozenset({Cause.WORKER_LOST, Cause.TRANSIENT})
DETAIL_MAX_CHARS: Final = 2000
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Retry:
    """Decision to retry the job after a delay; the arguments of `store.leases.retry`."""

    delay_s: float
    cause: Cause
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Decision to fail the job; the arguments of `store.leases.fail`."""

    cause: Cause
    code: str
    detail: str


def charged_after(charged: Mapping[Cause, int], *, made_progress: bool) -> dict[Cause, int]:
    """Return the charged earlier attempts by cause, given whether the current attempt stored a checkpoint.

    Args:
        charged: charged attempts when the current attempt began (`lease.charged`).
        made_progress: whether the current attempt has stored a checkpoint.
    """
    return {cause: count for cause, count in charged.items() if not (made_progress and cause in RESET_ON_PROGRESS)}


def decide(
    error: BaseException,
    charged: Mapping[Cause, int],
    jitter: float | None = None,
    *,
    alone: bool = False,
    sick: bool = False,
) -> Retry | Fail:
    """Decide about a failed attempt.

    Args:
        error: what the attempt raised. One that is not a `DublineError` is a defect; its text is not shown to tenants.
        charged: what earlier attempts of the job are charged by cause, without this one.
        jitter: as for `backoff_s`.
        alone: no other worker is left for this job (`lease.alone`).
        sick: the worker fails so often that the fault is its own (`quarantine.is_sick`); then no budget ends the job.

    Returns:
        `Retry` with a delay of about 2, 4, 8 ... s, at most about 120 s, or `Fail` with the code and detail for the
        job. Delay and budget depend only on the attempts that failed by the same cause.
    """
    # A MemoryError of the interpreter is treated like an out-of-memory error of the device.
    known = errors.OutOfMemoryError() if isinstance(error, MemoryError) else error
    if not isinstance(known, errors.DublineError):
        # A defect is retried too, because another worker may run on a machine without the fault.
        known, retryable, cause = errors.InternalError(), True, Cause.DEFECT
    else:
        retryable, cause = known.retryable, cause_of(known)
    detail = known.detail[:DETAIL_MAX_CHARS]
    if not retryable:
        return Fail(cause=cause, code=known.code, detail=detail)
    count = charged.get(cause, 0) + 1
    if count >= BUDGETS[cause] and not (sick and cause in BLAMED):
        return _exhausted(cause, known.code, detail, count)
    exponent = ALONE_EXPONENT if alone and cause is not Cause.TRANSIENT else 0
    return Retry(delay_s=backoff_s(count + exponent, jitter), cause=cause, code=known.code, detail=detail)


def _exhausted(cause: Cause, code: str, detail: str, count: int) -> Fail:
    summary = (
        f"{count} attempts failed (cause: {cause}) and the job is not retried again. "
        f"The last one ended with {code}: {detail}"
    )
    return Fail(cause=cause, code=errors.AttemptsExhaustedError.code, detail=summary[:DETAIL_MAX_CHARS])


def backoff_s(count: int, jitter: float | None = None) -> float:
    """Return the delay in seconds before the next attempt.

    Args:
        count: number of failures so far, at least 1.
        jitter: -1 for the shortest delay, 0 for the middle, 1 for the longest; None draws it at random.
    """
    drawn = _random.uniform(-1.0, 1.0) if jitter is None else jitter
    # The exponent is bounded so that a large count cannot overflow.
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(count - 1, 16)) * (1.0 + JITTER * drawn)


def cause_of(error: errors.DublineError) -> Cause:
    """Classify an error by its cause."""
    if isinstance(error, errors.OutOfMemoryError):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, (errors.WorkerLostError, errors.DeviceFailedError)):
        return Cause.WORKER_LOST
    if isinstance(error, errors.BadInputError):
        return Cause.BAD_INPUT
    if isinstance(error, errors.EncoderFailedError):
        # A crash of a program is not an outage: a job that causes it must not be rendered up to 48 times.
        return Cause.DEFECT
    return Cause.TRANSIENT if error.retryable else Cause.DEFECT
