"""Events: facts about jobs, batches and workers, written in the transaction that changes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

#: Days after which events are deleted.
RETENTION_DAYS: Final = 7


class EventKind(StrEnum):
    """Kind of an event."""

    JOB_FINISHED = "job.finished"
    BATCH_FINISHED = "batch.finished"
    WORKER_QUARANTINED = "worker.quarantined"
    POOL_DECIDED = "pool.decided"


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Position in the order in which events become visible; `Cursor()` is before the first event."""

    transaction_id: int = 0
    event_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    cursor: Cursor
    tenant: str | None
    """None for an event of a worker or a pool."""
    kind: EventKind
    subject_id: UUID
    """Id of the job, batch or worker; it may have been deleted since. Of a pool: derived from its name."""
    at: datetime
    payload: Mapping[str, Any]
    """`job.finished`: state, batch_id, error_code (absent if null). `batch.finished`: job_count.
    `worker.quarantined`: worker, failure_count, quarantine_s. `pool.decided`: pool and the numbers of the decision."""
