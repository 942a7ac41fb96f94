"""Shares of long jobs, and the segments that somebody renders."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, one_of
from dubline.orchestration.domain.jobs import Cause


class ShareRow(Base):
    """The right of one worker to render segments of a job that another worker holds."""

    __tablename__ = "shares"
    __table_args__ = (
        one_of("cause", Cause),
        CheckConstraint("cause IS NULL OR ended_at IS NOT NULL", name="ended"),
        CheckConstraint("gpu_s >= 0", name="gpu"),
        Index("shares_of_job", "job_id"),
        Index("shares_open", "lease_expires_at", postgresql_where=text("ended_at IS NULL")),
    )

    token: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    worker: Mapped[str]
    pool: Mapped[str]
    """Pool of the worker."""
    lease_expires_at: Mapped[datetime]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    kept_at: Mapped[datetime | None]
    """When it stored its last segment."""
    ended_at: Mapped[datetime | None]
    cause: Mapped[str | None]
    """Why it failed; NULL: it is open, or ended because there was nothing left to render or a job was due."""
    gpu_s: Mapped[float] = mapped_column(server_default=text("0"))


class ReservedSegmentRow(Base):
    """A segment that the attempt or the share with this token renders. It is free if that one has ended."""

    __tablename__ = "reserved_segments"
    __table_args__ = (CheckConstraint("number >= 0", name="number"),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[UUID]
