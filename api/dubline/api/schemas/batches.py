"""Batches over HTTP: many jobs in one call, and one line about how they all are."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from dubline.api.schemas.fields import AnswerModel, Percent, RequestModel
from dubline.api.schemas.jobs import JobRequest
from dubline.orchestration.jobs import Batch, JobState


class BatchRequest(RequestModel):
    """Jobs to accept together: all of them or, if one is malformed, none."""

    jobs: list[JobRequest] = Field(min_length=1, description="10,000 at most, each custom_id once.")


class BatchAnswer(AnswerModel):
    """One batch."""

    id: UUID
    job_count: int
    counts: dict[JobState, int] = Field(description="Jobs in each state; every state is a key.")
    percent: Percent
    finished: bool = Field(description="Whether every job has reached a final state.")
    created_at: datetime

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Show a batch as the rows say."""
        return cls(
            id=batch.id,
            job_count=batch.row_count,
            counts={state: batch.counts.get(state, 0) for state in JobState},
            percent=batch.progress_percent,
            finished=batch.finished,
            created_at=batch.created_at,
        )
