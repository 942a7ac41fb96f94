"""The outbox: notifications that were committed together with their work and are not published yet."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base


class OutboxRow(Base):
    """One notification; it is deleted when it has been published."""

    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint("task IN ('probe', 'render')", name="task"),
        CheckConstraint("count > 0", name="count"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    task: Mapped[str]
    count: Mapped[int]
    """Number of jobs or uploads that became claimable."""
    traceparent: Mapped[str | None]
    """Span of the request that inserted it (see `tracing`); NULL without tracing."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
