"""What was deleted, by whom, and which objects are still to go."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, equivalent, one_of
from dubline.orchestration.domain.audit import AuditAction, AuditSubject


class AuditRow(Base):
    """One deletion; kept for ever. It names no row by a foreign key, for those are gone."""

    __tablename__ = "audit"
    __table_args__ = (
        one_of("action", AuditAction),
        one_of("subject_kind", AuditSubject),
        # What no row knows belongs to nobody.
        equivalent("orphan", "action = 'orphan'", "tenant IS NULL", "subject_id IS NULL", "subject_kind = 'object'"),
        CheckConstraint("objects >= 0", name="objects"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    tenant: Mapped[str | None]
    actor: Mapped[str]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID | None] = mapped_column(index=True)
    objects: Mapped[int]
    """Objects that were still in the bucket then."""
    completed_at: Mapped[datetime | None]
    """When the last of them was gone."""


class PendingDeletionRow(Base):
    """An object that no row needs any more."""

    __tablename__ = "doomed_objects"

    object_key: Mapped[str] = mapped_column(primary_key=True)
    audit_id: Mapped[UUID | None] = mapped_column(ForeignKey("audit.id"), index=True)
    """None where nobody deleted it: a checkpoint whose job is final."""
    doomed_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
