"""Audit entries: who did what to keys, tenants, files and jobs, kept permanently."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from dubline.orchestration.domain.listing import Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

#: Actor of commands on the operator's command line.
OPERATOR_ACTOR: Final = "operator"
#: Actor of deletions at the end of a retention period.
RETENTION_ACTOR: Final = "retention"
#: Actor of deletions of orphans.
SWEEP_ACTOR: Final = "sweep"


class AuditAction(StrEnum):
    """What was done. Deletions: by a request, at the end of a retention period, of an object without a row."""

    DELETE = "delete"
    EXPIRE = "expire"
    ORPHAN = "orphan"
    CREATE_TENANT = "create_tenant"
    SET_RETENTION = "set_retention"
    SET_LIMITS = "set_limits"
    CREATE_KEY = "create_key"
    REVOKE_KEY = "revoke_key"
    ROTATE_KEY = "rotate_key"


class AuditSubject(StrEnum):
    """Kind of what it was done to."""

    UPLOAD = "upload"
    JOB = "job"
    BATCH = "batch"
    OBJECT = "object"
    KEY = "key"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry."""

    id: UUID
    at: datetime
    tenant: str | None
    """None for orphans."""
    actor: str
    """The API key (`key:` and 12 hexadecimal digits), `operator`, `retention` or `sweep`."""
    action: AuditAction
    subject_kind: AuditSubject
    subject_id: UUID | None
    subject_name: str | None = None
    """Id of a key or name of a tenant."""
    detail: Mapping[str, Any] | None = None
    """New values, of keys and tenants."""
    objects: int
    """Number of objects that were marked for deletion."""
    completed_at: datetime | None
    """When the last of them was removed from the bucket; None until then."""

    @property
    def place(self) -> Place:
        """Place of the entry in the log."""
        return Place(created_at=self.at, id=self.id)
