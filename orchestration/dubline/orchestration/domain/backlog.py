"""The backlog: jobs and uploads that wait, and what the installation holds, for metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Waiting(StrEnum):
    """Place of a job that is not final. delayed: retrying, and the pause is not over."""

    CLAIMABLE = "claimable"
    DELAYED = "delayed"
    RUNNING = "running"


class TenantClass(StrEnum):
    """Kind of tenant. limited: with a limit on running jobs, so that its jobs may wait while workers are idle."""

    DEFAULT = "default"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBacklog:
    """Jobs of one preset and class of tenants in one place. Exact up to a number of jobs in each place."""

    waiting: Waiting
    preset: str
    tenant_class: TenantClass
    jobs: int
    oldest_s: float
    """Seconds since the oldest of them became claimable; 0 if it is not claimable yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the database holds at one time."""

    jobs: tuple[JobBacklog, ...]
    """Only presets, classes and places with jobs."""
    probes: int
    """Uploads that a prober could claim now, up to a number of new ones and of repeated ones."""
    oldest_probe_s: float
    """Seconds since the oldest of them could be claimed; 0 without one."""
    quarantined_workers: int
    outbox_oldest_s: float
    """Age of the oldest notification that is not published; 0 without one."""
    open_jobs: int
    """All jobs that are not final, however many."""
    stored_bytes: int
    """Declared bytes of uploads, and bytes of videos."""
