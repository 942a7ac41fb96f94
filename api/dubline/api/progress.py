"""Estimates the remaining time of a running job from its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.jobs import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from dubline.orchestration.domain.jobs import Job, ListedJob

#: Below this, the elapsed time is mostly download and decoding, from which nothing can be estimated.
ESTIMATE_MIN_PERCENT: Final = 2.0


def eta_s(job: Job | ListedJob, attempt_started_at: datetime | None, now: datetime) -> float | None:
    """Estimate the seconds until `job` is done.

    Args:
        job: any job.
        attempt_started_at: start of its current attempt; None if unknown.
        now: current time, with a time zone.

    Returns:
        Seconds, not negative; None if the job is not running or has made too little progress.
    """
    percent = job.progress_percent
    if job.state is not JobState.RUNNING or attempt_started_at is None or percent < ESTIMATE_MIN_PERCENT:
        return None
    elapsed_s = max(0.0, (now - attempt_started_at).total_seconds())
    return round(elapsed_s * (100 - percent) / percent, 1)
