"""The server's answers as types. Fields that this version does not know are ignored: the server may grow."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

FINAL: Final = frozenset({"succeeded", "failed", "cancelled"})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Fault(_Answer):
    """Why something failed."""

    code: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class Put(_Answer):
    """Where and how to send a file's bytes."""

    url: str
    headers: dict[str, str]


class Upload(_Answer):
    """One file at the server: pending, probing, ready or rejected."""

    id: str
    state: str
    put: Put | None = None
    facts: dict[str, Any] | None = None
    error: Fault | None = None


class Attempt(_Answer):
    """One try at a job, numbered from 1."""

    number: int
    outcome: str | None = None
    cause: str | None = None
    gpu_s: float = 0.0
    error: Fault | None = None


class Result(_Answer):
    """A finished video. `url` works for an hour at most; reading the job again gives a new one."""

    url: str
    size_bytes: int | None = None
    duration_s: float | None = None


class Job(_Answer):
    """One portrait and one speech track on the way to one video.

    `percent` is in [0, 100]; `attempts` is empty where a job is one of a list; times are in ISO 8601.
    """

    id: str
    custom_id: str | None = None
    batch_id: str | None = None
    state: str
    stage: str | None = None
    percent: float = 0.0
    eta_s: float | None = None
    attempt_count: int = 0
    attempts: tuple[Attempt, ...] = ()
    gpu_s: float = 0.0
    deadline_at: str | None = None
    error: Fault | None = None
    result: Result | None = None
    result_deleted_at: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self.state in FINAL


class Batch(_Answer):
    """Jobs that were accepted together; `counts` has the number of jobs in each state."""

    id: str
    job_count: int
    counts: dict[str, int] = Field(default_factory=dict)
    percent: float = 0.0
    finished: bool = False


class JobPage(_Answer):
    """Some jobs of a batch, in the order of its rows."""

    data: tuple[Job, ...]
    next_cursor: str | None = None
