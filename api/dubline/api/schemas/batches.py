"""Schemas of batches: request, batch with the counts of its jobs, and retention periods."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final, Self
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from dubline.api.documents import Document
from dubline.api.problems import ITEMS_SHOWN
from dubline.api.schemas.fields import KeptS, Percent, RequestModel, ResponseModel
from dubline.api.schemas.jobs import ETA_ERROR, JobRequest
from dubline.orchestration.domain.batches import Batch, BatchSummary, Retention
from dubline.orchestration.domain.errors import TooManyRowsError
from dubline.orchestration.domain.eta import Eta
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.settings import LimitSettings

INPUTS_KEPT: Final = (
    "Seconds from the end of the batch's last job until its uploads are deleted. An upload is kept longer only while a "
    "job that is not final names it, or another batch whose own period ends later. null: the batch asks for nothing."
)
ETA: Final = (
    "Estimated seconds until its last job is done: the work ahead of it in the fair order, divided by the live "
    "workers; null if it is finished or no worker is alive."
)
RESULTS_KEPT: Final = "Seconds from the end of a job until its video is deleted; null: kept."


class RetentionRequest(RequestModel):
    """Retention periods of the batch. Where the tenant has one too, the shorter one applies."""

    inputs_s: KeptS | None = Field(default=None, description=INPUTS_KEPT)
    results_s: KeptS | None = Field(default=None, description=RESULTS_KEPT)

    def seconds(self) -> Retention:
        """Convert to the domain's value."""
        return Retention(inputs_s=self.inputs_s, results_s=self.results_s)


class BatchRequest(RequestModel):
    """Jobs to accept together: all of them or, if one is invalid, none."""

    jobs: list[JobRequest] = Field(min_length=1, description="At most 10,000, each custom_id once.")
    retention: RetentionRequest = RetentionRequest()

    has_rows: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str, limits: LimitSettings) -> Self:
        """Read and validate the text of a body row by row; stop at the first faults that fill a response.

        Raises:
            DocumentError: it is not JSON.
            RequestValidationError: rows are not valid.
            TooManyRowsError: it has more rows than the limit; the others are not read.
            pydantic.ValidationError: it is not valid in other ways.
        """
        document = Document(text)
        if document.peek() != "{":
            return cls.model_validate(None)
        members: dict[str, object] = {}
        for name in document.members():
            is_rows = name == "jobs" and document.peek() == "["
            members[name] = _rows(document, limits.batch_rows) if is_rows else document.value()
            if len(members) > ITEMS_SHOWN:
                return cls.model_validate(members)
        document.end()
        return cls.model_validate(members)


class RetentionAnswer(ResponseModel):
    """Retention periods of the batch."""

    inputs_s: int | None = Field(description=INPUTS_KEPT, examples=[604_800])
    results_s: int | None = Field(description=RESULTS_KEPT, examples=[604_800])


class BatchAnswer(ResponseModel):
    """One batch."""

    id: UUID
    job_count: int = Field(description="Number of jobs, without deleted ones.")
    counts: dict[JobState, int] = Field(description="Number of jobs per state; every state is a key.")
    percent: Percent
    finished: bool = Field(description="Whether every job has reached a final state.")
    eta_s: float | None = Field(ge=0, description=ETA, examples=[840.0])
    eta_error_s: float | None = Field(ge=0, description=ETA_ERROR, examples=[60.0])
    retention: RetentionAnswer
    created_at: datetime

    @classmethod
    def of(cls, batch: Batch, eta: Eta | None) -> Self:
        """Convert a batch."""
        return cls(
            id=batch.id,
            job_count=batch.row_count,
            counts={state: batch.counts.get(state, 0) for state in JobState},
            percent=batch.progress_percent,
            finished=batch.finished,
            eta_s=None if eta is None else round(eta.seconds, 1),
            eta_error_s=None if eta is None else round(eta.error_s, 1),
            retention=RetentionAnswer(inputs_s=batch.retention.inputs_s, results_s=batch.retention.results_s),
            created_at=batch.created_at,
        )


def _rows(document: Document, limit: int) -> list[JobRequest]:
    rows, faults = [], []
    for index in document.items():
        if index == limit:
            raise TooManyRowsError(f"The batch has more than {limit:,} rows, the most in one call. Split it.")
        try:
            rows.append(JobRequest.model_validate(document.value()))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            faults += [{**fault, "loc": ("body", "jobs", index, *fault["loc"])} for fault in found]
        if len(faults) >= ITEMS_SHOWN:
            break
    if faults:
        raise RequestValidationError(faults)
    return rows


class BatchListItem(ResponseModel):
    """One batch in a list."""

    id: UUID
    job_count: int = Field(description="Number of jobs, without deleted ones.")
    open_count: int = Field(description="Number of jobs that are not final.")
    finished: bool = Field(description="Whether every job has reached a final state.")
    retention: RetentionAnswer
    created_at: datetime

    @classmethod
    def of(cls, batch: BatchSummary) -> Self:
        """Convert a batch."""
        return cls(
            id=batch.id,
            job_count=batch.row_count,
            open_count=batch.open_count,
            finished=batch.open_count == 0,
            retention=RetentionAnswer(inputs_s=batch.retention.inputs_s, results_s=batch.retention.results_s),
            created_at=batch.created_at,
        )


class BatchListAnswer(ResponseModel):
    """One page of a list of batches."""

    data: list[BatchListItem]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last page.")
