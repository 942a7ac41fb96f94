"""Events: facts about jobs and batches, for webhooks, metrics and other readers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, TransactionId, one_of
from dubline.orchestration.domain.events import EventKind


class EventRow(Base):
    """One event. It has no foreign key to its subject, because it is kept when the job or batch is deleted."""

    __tablename__ = "events"
    __table_args__ = (
        one_of("kind", EventKind),
        CheckConstraint("pg_column_size(payload) <= 1024", name="payload"),
        # Order of reading. Ids alone do not give it: they are assigned before their transaction commits.
        Index("events_order_of_kind", "kind", "transaction_id", "id"),
        Index("events_created", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    transaction_id: Mapped[int] = mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.name"))
    kind: Mapped[str]
    subject_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
