"""Workers: when each was seen last, and whether it is quarantined."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base
from dubline.orchestration.domain.pools import DEFAULT_POOL


class WorkerRow(Base):
    """One worker, under the name that it keeps when its child process is replaced."""

    __tablename__ = "workers"
    __table_args__ = (CheckConstraint("failure_count >= 0", name="failures"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    pool: Mapped[str] = mapped_column(server_default=text(f"'{DEFAULT_POOL}'"))
    presets: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """Presets that it renders; NULL: all of them, or it is of a version that did not tell."""
    id: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    """Subject of its events."""
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """Its last claim or renewal; up to `charges.SEEN_STEP_S` seconds late."""
    failure_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Failures in a row (see `domain.quarantine`)."""
    quarantined_until: Mapped[datetime | None]
    leaving_until: Mapped[datetime | None]
    """Until then it claims no job, because its pod is about to be removed."""
