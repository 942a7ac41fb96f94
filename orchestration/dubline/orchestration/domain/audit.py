"""Audit entries: who deleted what, kept permanently."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: Actor of deletions at the end of a retention period.
RETENTION_ACTOR: Final = "retention"
#: Actor of deletions of orphans.
SWEEP_ACTOR: Final = "sweep"


class AuditAction(StrEnum):
    """Reason of a deletion: a request, the end of a retention period, or an object without a row."""

    DELETE = "delete"
    EXPIRE = "expire"
    ORPHAN = "orphan"


class AuditSubject(StrEnum):
    """Kind of the deleted subject."""

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
    """None for orphans."""
    actor: str
    """The API key (`key:` and 12 hexadecimal digits), `retention` or `sweep`."""
    action: AuditAction
    subject_kind: AuditSubject
    subject_id: UUID | None
    objects: int
    """Number of objects that were marked for deletion."""
    completed_at: datetime | None
    """When the last of them was removed from the bucket; None until then."""
