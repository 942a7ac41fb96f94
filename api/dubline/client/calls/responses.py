"""Types of the server's responses. Unknown fields, of a later version of the server, are ignored."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})


class Response(BaseModel):
    """Base of responses."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Fault(Response):
    """The reason of a failure."""

    code: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class ProblemItem(Response):
    """One of several faults of a request."""

    pointer: str
    detail: str


class Problem(Response):
    """The body of an error."""

    code: str
    detail: str
    errors: tuple[ProblemItem, ...] | None = None


class Put(Response):
    """The request that sends a file."""

    url: str
    headers: dict[str, str]


class Upload(Response):
    """An upload; its state is pending, probing, ready or rejected."""

    id: str
    state: str
    put: Put | None = None
    facts: dict[str, Any] | None = None
    error: Fault | None = None


class Attempt(Response):
    """An attempt at a job, numbered from 1."""

    number: int
    outcome: str | None = None
    cause: str | None = None
    gpu_s: float = 0.0
    error: Fault | None = None


class Result(Response):
    """A finished video. `url` is valid for at most an hour and None in lists; getting the job returns a new one."""

    url: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    duration_s: float | None = None


class Job(Response):
    """A job.

    `percent` is in [0, 100]; `attempts` is empty in a list of jobs; times are in ISO 8601.
    """

    id: str
    custom_id: str | None = None
    batch_id: str | None = None
    state: str
    stage: str | None = None
    percent: float = 0.0
    eta_s: float | None = None
    eta_error_s: float | None = None
    attempt_count: int = 0
    attempts: tuple[Attempt, ...] = ()
    gpu_s: float = 0.0
    deadline_at: str | None = None
    error: Fault | None = None
    result: Result | None = None
    result_deleted_at: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL


class Batch(Response):
    """A batch; `counts` has the number of jobs in each state."""

    id: str
    job_count: int
    counts: dict[str, int] = Field(default_factory=dict)
    percent: float = 0.0
    eta_s: float | None = None
    eta_error_s: float | None = None
    finished: bool = False


class JobPage(Response):
    """One page of the jobs of a batch, in the order of its rows."""

    data: tuple[Job, ...]
    next_cursor: str | None = None
    changed_until: int | None = None
    """None: the server reports no changes, and each look reads every job."""


class BatchId(Response):
    """A batch in a list."""

    id: str


class BatchPage(Response):
    """One page of a list of batches."""

    data: tuple[BatchId, ...]
