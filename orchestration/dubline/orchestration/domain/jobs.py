"""Jobs and their attempts: states, legal transitions, and the records that the store returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.options.render import DEFAULT, RenderOptions
from dubline.orchestration.domain.pools import DEFAULT_POOL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from dubline.options.point import Point


CUSTOM_ID_MAX_CHARS: Final = 128


class JobState(StrEnum):
    """State of a job. retrying: an attempt failed and the job waits for the next one."""

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
    # A release: the worker shut down, and the attempt is not charged.
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.RETRYING}) | FINAL,
    JobState.RETRYING: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
#: States in which a job may be inserted: failed if one of its uploads is missing or was rejected.
INITIAL_STATES: Final = frozenset({JobState.QUEUED, JobState.FAILED})


class Stage(StrEnum):
    """Current step of a running attempt."""

    PREPARING = "preparing"
    SAMPLING = "sampling"
    RENDERING = "rendering"
    MUXING = "muxing"
    STORING = "storing"


class Outcome(StrEnum):
    """Outcome of an attempt."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    FAILED = "failed"
    RELEASED = "released"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """Reason why an attempt did not succeed."""

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
    """A request for one video from one portrait and one speech track."""

    portrait_upload_id: UUID
    speech_upload_id: UUID
    options: RenderOptions = DEFAULT
    face: Point | None = None
    """Chooses a face of the portrait instead of `options.face_index`, which an accepted job has."""
    custom_id: str | None = None
    """Name chosen by the sender, unique within a batch."""
    deadline_s: float | None = None
    """`DEADLINE_MIN_S` to `DEADLINE_MAX_S` seconds from acceptance; a job that is not final by then fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job."""

    id: UUID
    tenant: str
    batch_id: UUID | None
    position: int | None
    """Row in the batch, from 0."""
    custom_id: str | None
    portrait_upload_id: UUID | None
    """None: the job failed, because its tenant has no such upload; also for the speech."""
    speech_upload_id: UUID | None
    speech_s: float
    """Seconds of speech to animate; 0 if an upload could not be used."""
    options: RenderOptions
    weights_sha256: str | None
    """Hash of the networks that render it; None until an attempt has loaded its checkpoints."""
    state: JobState
    stage: Stage | None
    """Set if and only if the job is running."""
    progress_percent: float
    """0 to 100."""
    attempt_count: int
    """Attempts begun, including those that were not charged."""
    gpu_s: float
    """Seconds of device time of all attempts."""
    error_code: str | None
    error_detail: str | None
    result_key: str | None
    result_size_bytes: int | None
    result_sha256: str | None
    """64 lower-case hexadecimal digits; None for a video of an older worker."""
    result_duration_s: float | None
    result_deleted_at: datetime | None
    """When the retention period of the video ended; the job remains succeeded."""
    created_at: datetime
    deadline_at: datetime | None
    started_at: datetime | None
    """When the first attempt began."""
    finalized_at: datetime | None


@dataclass(slots=True, kw_only=True)
class ListedJob:
    """One job of a list. It is not frozen, since that doubles the time in which it is made."""

    id: UUID
    state: JobState
    progress_percent: float
    attempt_count: int
    started_at: datetime | None
    members: str
    """JSON object with all that is stored of the job except its video, with the names of the API."""
    video_key: str | None
    """Key of the video; None: there is none, or its retention period ended."""
    result: str
    """JSON object with what is stored of the video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a job."""

    number: int
    """From 1."""
    worker: str
    pool: str = DEFAULT_POOL
    """Pool of the worker."""
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    cause: Cause | None
    error_code: str | None
    error_detail: str | None
    gpu_s: float
    """Seconds of device time for sampling and rendering."""
    refused_writes: int
    """Writes that were refused because its token was no longer valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """Depth of the job queue; each count is exact up to a limit of the store."""

    claimable: int
    """Jobs queued or retrying that are due."""
    delayed: int
    """Jobs retrying that are not due yet."""
    running: int
    oldest_claimable_s: float
    """Longest waiting time of the claimable jobs that were counted, in seconds; 0 if there is none."""
