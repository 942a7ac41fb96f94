"""How long a running job will still take, told from how far it came in how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.jobs import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from dubline.orchestration.domain.jobs import Job

#: Below this the elapsed time is mostly download and decoding, and says nothing about the rest.
FIRST_TELLING_PERCENT: Final = 2.0


def eta_s(job: Job, attempt_started_at: datetime | None, now: datetime) -> float | None:
    """Predict the seconds until `job` is done.

    Args:
        job: any job.
        attempt_started_at: when its current attempt began; None if that is not known.
        now: aware time of the prediction.

    Returns:
        Seconds, never negative; None unless the job runs and has come far enough to tell.
    """
    percent = job.progress_percent
    if job.state is not JobState.RUNNING or attempt_started_at is None or percent < FIRST_TELLING_PERCENT:
        return None
    elapsed_s = max(0.0, (now - attempt_started_at).total_seconds())
    return round(elapsed_s * (100 - percent) / percent, 1)
