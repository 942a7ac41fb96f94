"""The life of a job, without I/O: its states, the legal steps between them, and what is known of each job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.options.render import DEFAULT, RenderOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


#: Names of the released networks; the API may not import the networks themselves.
CUSTOM_ID_MAX_CHARS: Final = 128
DEADLINE_MIN_S: Final = 1.0
DEADLINE_MAX_S: Final = 30 * 86_400.0


class JobState(StrEnum):
    """Where a job stands. retrying: an attempt failed and the job waits for the next one."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
CLAIMABLE: Final = frozenset({JobState.QUEUED, JobState.RETRYING})

TRANSITIONS: Final[Mapping[JobState, frozenset[JobState]]] = {
    # Failed without running: the deadline passed.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    # Back to queued is a release: the worker shut down and the attempt is not charged.
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.RETRYING}) | FINAL,
    JobState.RETRYING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
#: States a job may be inserted in: failed when one of its uploads is missing or was rejected.
INITIAL_STATES: Final = frozenset({JobState.QUEUED, JobState.FAILED})


class Stage(StrEnum):
    """What a running attempt is doing."""

    PREPARING = "preparing"
    SAMPLING = "sampling"
    RENDERING = "rendering"
    MUXING = "muxing"
    STORING = "storing"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    FAILED = "failed"
    RELEASED = "released"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Why an attempt did not succeed."""

    BAD_INPUT = "bad_input"
    TRANSIENT = "transient"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_LOST = "worker_lost"
    SHUTDOWN = "shutdown"
    DEFECT = "defect"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a tenant asks for: one portrait, one speech track, one video."""

    portrait_upload_id: UUID
    speech_upload_id: UUID
    options: RenderOptions = DEFAULT
    custom_id: str | None = None
    """The tenant's own name for the row, unique within a batch."""
    deadline_s: float | None = None
    """DEADLINE_MIN_S to DEADLINE_MAX_S seconds from acceptance; a job not final by then fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as its row says."""

    id: UUID
    tenant: str
    batch_id: UUID | None
    position: int | None
    """Place in the batch, from 0."""
    custom_id: str | None
    portrait_upload_id: UUID
    speech_upload_id: UUID
    speech_s: float
    """Seconds of speech to animate; 0 when the upload was never ready."""
    options: RenderOptions
    weights_sha256: str | None
    """Of the networks that render it, known from the first attempt that began to."""
    state: JobState
    stage: Stage | None
    """Set exactly while running."""
    progress_percent: float
    """0 to 100."""
    attempt_count: int
    """Attempts begun, those that were not charged included."""
    gpu_s: float
    """Seconds that all its attempts held the device."""
    error_code: str | None
    error_detail: str | None
    result_key: str | None
    result_size_bytes: int | None
    result_duration_s: float | None
    result_deleted_at: datetime | None
    """When retention removed the video; the job stays succeeded."""
    created_at: datetime
    deadline_at: datetime | None
    started_at: datetime | None
    """When the first attempt began."""
    finalized_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a job; rows are kept."""

    number: int
    """From 1."""
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    cause: Cause | None
    error_code: str | None
    error_detail: str | None
    gpu_s: float
    """Seconds it held the device for sampling and rendering."""
    refused_writes: int
    """Writes refused because its token was no longer in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How much work waits."""

    claimable: int
    """Queued or retrying, and due now."""
    delayed: int
    """Retrying, not due yet."""
    running: int
    oldest_claimable_s: float
    """Age of the longest-waiting claimable job in seconds; 0 when there is none."""
