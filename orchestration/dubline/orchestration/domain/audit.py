"""What is written down about a deletion, for ever."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: Who deletes what has been kept for long enough.
RETENTION_ACTOR: Final = "retention"
#: Who deletes objects that no row knows.
SWEEP_ACTOR: Final = "sweep"


class AuditAction(StrEnum):
    """Why something was deleted."""

    DELETE = "delete"
    EXPIRE = "expire"
    ORPHAN = "orphan"


class AuditSubject(StrEnum):
    """What was deleted."""

    UPLOAD = "upload"
    JOB = "job"
    BATCH = "batch"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One deletion."""

    id: UUID
    at: datetime
    tenant: str | None
    """None for objects that no row knew."""
    actor: str
    """Which key (`key:` and 12 hexadecimal digits), or which loop of the control process."""
    action: AuditAction
    subject_kind: AuditSubject
    subject_id: UUID | None
    objects: int
    """Objects that were to be removed from the bucket."""
    completed_at: datetime | None
    """When the last of them was gone."""
