"""Lists of a tenant's jobs, batches and uploads: what they are filtered by, and their pages, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from dubline.orchestration.domain.jobs import JobState
    from dubline.orchestration.domain.uploads import UploadKind, UploadState

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Creation and id of the last row of a page; the next page starts after it."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The page of a list: where it starts, how long it is, and when its rows were created."""

    limit: int
    """Largest number of rows on the page, at least 1."""
    after: Place | None = None
    """Place of the previous page; None: the first page."""
    created_after: datetime | None = None
    """Inclusive; None: not bounded."""
    created_before: datetime | None = None
    """Exclusive; None: not bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list has; an empty field filters nothing."""

    states: frozenset[JobState] = frozenset()
    custom_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFilter:
    """Which batches a list has; None filters nothing."""

    finished: bool | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFilter:
    """Which uploads a list has; an empty field filters nothing."""

    states: frozenset[UploadState] = frozenset()
    kind: UploadKind | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    next_after: Place | None
    """Place after which the next page starts; None on the last page."""
