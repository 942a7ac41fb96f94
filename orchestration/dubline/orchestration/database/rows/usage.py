"""Usage: what each final job took. A trigger on `jobs` inserts the rows."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Date, Index
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, one_of
from dubline.orchestration.domain.jobs import FINAL


class UsageRow(Base):
    """The usage of one job. It has no foreign key, because it is kept when the job is deleted."""

    __tablename__ = "usage"
    __table_args__ = (
        one_of("state", FINAL),
        CheckConstraint("video_s >= 0", name="video_s"),
        CheckConstraint("device_s >= 0", name="device_s"),
        CheckConstraint("size_bytes >= 0", name="size_bytes"),
        Index("usage_tenant_day", "tenant", "day"),
    )

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    day: Mapped[date] = mapped_column(Date)
    """Day in UTC on which the job became final."""
    preset: Mapped[str]
    state: Mapped[str]
    video_s: Mapped[float]
    device_s: Mapped[float]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """Size of the video."""
