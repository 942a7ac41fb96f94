"""What predictions are made from: learned rates, and the work that waits."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, one_of
from dubline.orchestration.domain.cost import CropSize


class LearnedRateRow(Base):
    """The rate of a preset and size of crop on a pool (see `domain.prediction`). Each finished attempt changes it."""

    __tablename__ = "learned_rates"
    __table_args__ = (
        one_of("crop_size", CropSize),
        CheckConstraint("variance >= 0", name="variance"),
        CheckConstraint("weight > 0", name="weight"),
    )

    preset: Mapped[str] = mapped_column(primary_key=True)
    pool: Mapped[str] = mapped_column(primary_key=True)
    crop_size: Mapped[str] = mapped_column(primary_key=True)
    log_rate: Mapped[float]
    variance: Mapped[float]
    weight: Mapped[float]
    """Attempts that it counted as at `learned_at`."""
    learned_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WaitingWorkRow(Base):
    """One change of the queued jobs, inserted by triggers on `jobs`. The maintenance process sums the rows up."""

    __tablename__ = "waiting_work"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    preset: Mapped[str]
    crop_size: Mapped[str]
    jobs: Mapped[int] = mapped_column(BigInteger)
    work_ms: Mapped[int] = mapped_column(BigInteger)
