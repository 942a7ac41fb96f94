"""The audit log: who did what to keys, tenants, files and jobs, and when the last object was removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, equivalent, one_of
from dubline.orchestration.domain.audit import AuditAction, AuditSubject


class AuditRow(Base):
    """One entry, kept permanently; triggers refuse changes. It has no foreign keys, because its subject is deleted."""

    __tablename__ = "audit"
    __table_args__ = (
        one_of("action", AuditAction),
        one_of("subject_kind", AuditSubject),
        # An orphan has no row, and therefore no tenant.
        equivalent("orphan", "action = 'orphan'", "tenant IS NULL", "subject_kind = 'object'"),
        CheckConstraint(
            "(subject_kind IN ('batch', 'job', 'upload')) = (subject_id IS NOT NULL)"
            " AND (subject_kind IN ('key', 'tenant')) = (subject_name IS NOT NULL)",
            name="subject",
        ),
        CheckConstraint("objects >= 0", name="objects"),
        Index("audit_tenant_at", "tenant", "at", "id"),
        Index("audit_at", "at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    tenant: Mapped[str | None]
    actor: Mapped[str]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID | None] = mapped_column(index=True)
    subject_name: Mapped[str | None]
    """Id of a key or name of a tenant."""
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    objects: Mapped[int]
    """Number of objects that were marked for deletion."""
    completed_at: Mapped[datetime | None]
    """When the last of them was removed from the bucket."""
