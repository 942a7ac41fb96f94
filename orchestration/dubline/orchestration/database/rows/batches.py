"""Batches: jobs accepted in one call."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base
from dubline.orchestration.database.rows.requested import Requested, request_checks


class BatchRow(Requested, Base):
    """One accepted batch."""

    __tablename__ = "batches"
    __table_args__ = (
        # NULLs are distinct, so batches without a key do not conflict.
        UniqueConstraint("tenant", "idempotency_key", name="batches_idempotency_key"),
        CheckConstraint("row_count >= 0", name="row_count"),
        CheckConstraint("open_count >= 0", name="open_count"),
        CheckConstraint("inputs_s > 0 AND results_s > 0", name="retention"),
        *request_checks(),
        Index("batches_listed", "tenant", "created_at", "id"),
        Index("batches_listed_by_end", "tenant", text("(open_count = 0)"), "created_at", "id"),
        Index(
            "batches_inputs_expire",
            "inputs_expire_at",
            "id",
            postgresql_where=text("inputs_expire_at IS NOT NULL AND inputs_deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    row_count: Mapped[int]
    """Number of its jobs, without deleted ones."""
    open_count: Mapped[int | None]
    """Number of its jobs that are not final; NULL if the batch was accepted by a version without events."""
    inputs_s: Mapped[int | None]
    results_s: Mapped[int | None]
    inputs_expire_at: Mapped[datetime | None]
    """Date by which it promised to delete its inputs: `inputs_s` after the end of its last job. A trigger sets it."""
    inputs_deleted_at: Mapped[datetime | None]
    """When retention looked at its inputs after that date."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
