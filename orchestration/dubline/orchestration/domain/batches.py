"""Batches without I/O: many jobs accepted in one call, and how long their files are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.jobs import FINAL, Job, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

RETENTION_MIN_S: Final = 60
RETENTION_MAX_S: Final = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long files are kept, in seconds, RETENTION_MIN_S to RETENTION_MAX_S; None: until deleted.

    Of a tenant's and a batch's, the shorter holds.
    """

    inputs_s: int | None = None
    """Of a tenant: from the declaration of an upload. Of a batch: from its last job's end."""
    results_s: int | None = None
    """From the end of each job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Many jobs accepted in one call."""

    id: UUID
    tenant: str
    row_count: int
    """Jobs in it; jobs that were deleted no longer count."""
    created_at: datetime
    retention: Retention = field(default_factory=Retention)
    counts: Mapping[JobState, int] = field(default_factory=dict)
    """Jobs per state; every state is a key."""
    progress_percent: float = 0.0
    """Mean over the jobs, final ones counting as 100."""

    @property
    def finished(self) -> bool:
        """Whether every job is final."""
        return sum(self.counts.get(state, 0) for state in FINAL) == self.row_count


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs of a batch in the order of its rows."""

    jobs: tuple[Job, ...]
    next_after: int | None
    """Position to go on after; None on the last page."""
