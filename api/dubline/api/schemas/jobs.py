"""Schemas of jobs: request, job, attempts and result."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Self
from uuid import UUID

from pydantic import Field

from dubline.api.schemas.fields import (
    CustomId,
    DeadlineS,
    Fault,
    Percent,
    PortraitUploadId,
    RequestModel,
    ResponseModel,
    SpeechUploadId,
)
from dubline.api.schemas.options import RenderOptionsAnswer, RenderOptionsRequest
from dubline.orchestration.domain.jobs import Attempt, Cause, JobState, NewJob, Outcome, Stage

NAMED: Final = "Null if the job failed because there is no such upload."

ETA_ERROR: Final = "Standard error of `eta_s`; null if it is not known."


class JobInputsRequest(RequestModel):
    """The two files of a job."""

    portrait_upload_id: PortraitUploadId
    speech_upload_id: SpeechUploadId


# The order of the bases determines the order of the fields, and with it the hash of a batch request.
class JobRequest(RenderOptionsRequest, JobInputsRequest):
    """One video from one portrait and one speech track."""

    custom_id: CustomId | None = None
    deadline_s: DeadlineS | None = None

    def new_job(self) -> NewJob:
        """Convert to the domain's value."""
        return NewJob(
            portrait_upload_id=self.portrait_upload_id,
            speech_upload_id=self.speech_upload_id,
            options=self.render_options(),
            face=self.face.point() if self.face else None,
            custom_id=self.custom_id,
            deadline_s=self.deadline_s,
        )


class ResultAnswer(ResponseModel):
    """The finished video: H.264 and AAC in MP4."""

    url: str | None = Field(
        description=(
            "Presigned URL, valid for at most an hour; each read of the job creates a new one. Null in lists, unless "
            "they are read with `include=result`."
        )
    )
    expires_at: datetime | None = Field(description="When the URL expires.")
    sha256: str | None = Field(description="SHA-256 of the video in 64 hexadecimal digits; null for older videos.")
    size_bytes: int | None
    duration_s: float | None


class AttemptAnswer(ResponseModel):
    """One attempt at a job."""

    number: int = Field(description="From 1.", examples=[1])
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None = Field(description="Null while it runs.")
    cause: Cause | None = Field(description="Why it did not succeed.")
    gpu_s: float = Field(description="Seconds of device time for sampling and rendering.", examples=[8.25])
    error: Fault | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """Convert an attempt. The name of the worker is internal."""
        return cls(
            number=attempt.number,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            outcome=attempt.outcome,
            cause=attempt.cause,
            gpu_s=attempt.gpu_s,
            error=fault(attempt.error_code, attempt.error_detail),
        )


class JobAnswer(RenderOptionsAnswer):
    """One job."""

    id: UUID
    batch_id: UUID | None
    custom_id: str | None
    portrait_upload_id: UUID | None = Field(description=NAMED)
    speech_upload_id: UUID | None = Field(description=NAMED)
    weights_sha256: str | None = Field(
        description="Hash of the networks that render it; null until an attempt has begun."
    )
    state: JobState = Field(description="queued, running or retrying; finally succeeded, failed or cancelled.")
    stage: Stage | None = Field(description="Current step of the running attempt.")
    percent: Percent
    eta_s: float | None = Field(
        ge=0,
        description=(
            "Estimated seconds until it is done: of a running job by its progress, of a waiting one by the work ahead "
            "of it in the fair order, divided by the live workers. Null if it is not known; in lists, also if it waits."
        ),
        examples=[12.5],
    )
    attempt_count: int = Field(description="Attempts begun so far.")
    gpu_s: float = Field(description="Seconds of device time of all attempts.", examples=[8.25])
    created_at: datetime
    started_at: datetime | None = Field(description="When the first attempt began.")
    deadline_at: datetime | None = Field(description="The job fails if it is not final by then.")
    finalized_at: datetime | None
    error: Fault | None = Field(description="Set if the job failed.")
    result: ResultAnswer | None = Field(description="Set if the job succeeded, until its video is deleted.")
    result_deleted_at: datetime | None = Field(description="When the retention period of the video ended.")


class JobDetail(JobAnswer):
    """One job with its attempts."""

    eta_error_s: float | None = Field(ge=0, description=ETA_ERROR, examples=[2.5])
    attempts: list[AttemptAnswer] = Field(description="Oldest first.")


class JobListAnswer(ResponseModel):
    """One page of a list of jobs."""

    data: list[JobAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last page.")


class JobPageAnswer(JobListAnswer):
    """One page of the jobs of a batch, in the order of its rows."""

    changed_until: int = Field(
        description="Send it as `changed_since` later, to get only the jobs that changed after this page was read."
    )


def fault(code: str | None, detail: str | None) -> Fault | None:
    """Convert the two columns of an error; None if there is no error."""
    return Fault(code=code, detail=detail or "") if code else None
