"""Batches: jobs accepted in one call, and the retention of their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.jobs import FINAL, JobState, ListedJob

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

RETENTION_MIN_S: Final = 60
RETENTION_MAX_S: Final = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Retention periods in seconds, `RETENTION_MIN_S` to `RETENTION_MAX_S`; None: kept until deleted.

    Where the tenant and the batch both have a period, the shorter one applies.
    """

    inputs_s: int | None = None
    """Period of uploads. Of a tenant: from the creation of the upload. Of a batch: from the end of its last job.

    An upload that several batches with a period name is kept until the latest of their dates.
    """
    results_s: int | None = None
    """Period of videos, from the end of each job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Jobs accepted in one call."""

    id: UUID
    tenant: str
    row_count: int
    """Number of jobs, without deleted ones."""
    created_at: datetime
    retention: Retention = field(default_factory=Retention)
    counts: Mapping[JobState, int] = field(default_factory=dict)
    """Number of jobs per state; every state is a key."""
    progress_percent: float = 0.0
    """Mean over the jobs; a final job counts as 100."""

    @property
    def finished(self) -> bool:
        """Whether every job is final."""
        return sum(self.counts.get(state, 0) for state in FINAL) == self.row_count


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """A batch in a list."""

    id: UUID
    row_count: int
    """Number of jobs, without deleted ones."""
    open_count: int
    """Number of jobs that are not final."""
    retention: Retention
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of the jobs of a batch, in the order of its rows."""

    jobs: tuple[ListedJob, ...]
    next_after: int | None
    """Position after which the next page starts; None on the last page."""
    changed_until: int = 0
    """Changes that a later page may not have seen have this number or a larger one."""
