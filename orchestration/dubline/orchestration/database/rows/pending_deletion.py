"""Objects that are pending deletion from the bucket."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base


class PendingDeletionRow(Base):
    """One object that no other row refers to any more."""

    __tablename__ = "doomed_objects"

    object_key: Mapped[str] = mapped_column(primary_key=True)
    audit_id: Mapped[UUID | None] = mapped_column(ForeignKey("audit.id"), index=True)
    """None for objects that are deleted without a request: checkpoints that are replaced or whose job is final."""
    doomed_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    """When it was marked for deletion, or when its removal last failed."""
