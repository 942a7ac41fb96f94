"""Schemas of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from dubline.api.schemas.fields import ResponseModel
from dubline.orchestration.domain.audit import AuditAction, AuditEntry, AuditSubject


class AuditAnswer(ResponseModel):
    """One entry."""

    id: UUID
    at: datetime
    actor: str = Field(
        description="`key:` and the id of a key, `operator`, `retention`.", examples=["key:9f86d081884c"]
    )
    action: AuditAction
    subject_kind: AuditSubject
    subject: str | None = Field(description="Id of the object or key, or name of the tenant.")
    detail: dict[str, Any] | None = Field(description="New values, of keys and tenants.")
    objects: int = Field(description="Files that were marked for deletion.")
    completed_at: datetime | None = Field(description="When the last of them was removed.")

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Build the schema of an entry."""
        return cls(
            id=entry.id,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            subject_kind=entry.subject_kind,
            subject=entry.subject_name or (str(entry.subject_id) if entry.subject_id else None),
            detail=None if entry.detail is None else dict(entry.detail),
            objects=entry.objects,
            completed_at=entry.completed_at,
        )


class AuditPage(ResponseModel):
    """One page of the audit log."""

    data: list[AuditAnswer]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
