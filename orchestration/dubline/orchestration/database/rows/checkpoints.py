"""Checkpoints of jobs that are not final."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, one_of
from dubline.orchestration.domain.checkpoints import CheckpointKind


class CheckpointRow(Base):
    """One checkpoint."""

    __tablename__ = "checkpoints"
    __table_args__ = (
        one_of("kind", CheckpointKind),
        CheckConstraint("number >= 0 AND (kind = 'segment' OR number = 0)", name="number"),
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    object_key: Mapped[str] = mapped_column(unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    attempt: Mapped[int]
    """Number of the attempt that stored it; 0: a share did."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
