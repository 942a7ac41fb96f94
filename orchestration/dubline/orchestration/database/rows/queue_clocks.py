"""Clocks of the queues."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base


class QueueClockRow(Base):
    """The largest order key claimed so far in one queue (see `domain.fairness`). It is never deleted or set back."""

    __tablename__ = "queue_clocks"

    queue: Mapped[str] = mapped_column(primary_key=True)
    at_s: Mapped[float]
