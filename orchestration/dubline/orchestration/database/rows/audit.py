"""Audit entries: who deleted what, and when the last object was removed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, equivalent, one_of
from dubline.orchestration.domain.audit import AuditAction, AuditSubject


class AuditRow(Base):
    """One deletion, kept permanently. It has no foreign keys, because the rows it is about are deleted."""

    __tablename__ = "audit"
    __table_args__ = (
        one_of("action", AuditAction),
        one_of("subject_kind", AuditSubject),
        # An orphan has no row, and therefore no tenant.
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
    """Number of objects that were marked for deletion."""
    completed_at: Mapped[datetime | None]
    """When the last of them was removed from the bucket."""
