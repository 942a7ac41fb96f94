"""Versions of weights that are in the bucket."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base


class WeightsRow(Base):
    """One version of a preset's weights. At most one is pinned: new jobs are rendered with it."""

    __tablename__ = "weights"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint("size_bytes > 0", name="size"),
        Index("weights_pinned", "preset", unique=True, postgresql_where=text("pinned_at IS NOT NULL")),
    )

    preset: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    pushed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    pinned_at: Mapped[datetime | None]
