from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from dubline.api.progress import eta_s
from dubline.options.render import RenderOptions
from dubline.orchestration.domain.jobs import Job, JobState, Stage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(state: JobState, percent: float) -> Job:
    return Job(
        id=uuid4(),
        tenant="acme",
        batch_id=None,
        position=None,
        custom_id=None,
        portrait_upload_id=uuid4(),
        speech_upload_id=uuid4(),
        speech_s=3.0,
        options=RenderOptions(preset="tiny", seed=0),
        weights_sha256=None,
        state=state,
        stage=Stage.RENDERING if state is JobState.RUNNING else None,
        progress_percent=percent,
        attempt_count=1,
        error_code=None,
        error_detail=None,
        result_key=None,
        result_size_bytes=None,
        result_sha256=None,
        result_duration_s=None,
        created_at=NOW,
        started_at=NOW,
        finalized_at=None,
        deadline_at=None,
        result_deleted_at=None,
        gpu_s=0.0,
    )


@pytest.mark.parametrize(("percent", "expected_s"), [(25, 30.0), (50, 10.0), (100, 0.0)])
def test_the_remaining_time_is_proportional_to_the_remaining_work(percent: float, expected_s: float) -> None:
    started_at = NOW - timedelta(seconds=10)
    assert eta_s(job(JobState.RUNNING, percent), started_at, NOW) == expected_s


def test_clock_skew_gives_no_negative_time() -> None:
    assert eta_s(job(JobState.RUNNING, 50), NOW + timedelta(seconds=5), NOW) == 0.0


@pytest.mark.parametrize(
    ("state", "percent"), [(JobState.RUNNING, 0), (JobState.QUEUED, 50), (JobState.SUCCEEDED, 100)]
)
def test_only_a_running_job_with_progress_has_an_estimate(state: JobState, percent: float) -> None:
    assert eta_s(job(state, percent), NOW - timedelta(seconds=10), NOW) is None


def test_without_a_known_start_there_is_no_estimate() -> None:
    assert eta_s(job(JobState.RUNNING, 50), None, NOW) is None
