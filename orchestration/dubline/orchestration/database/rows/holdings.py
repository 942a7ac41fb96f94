"""Holdings: changes of what a tenant has queued and stored. Triggers on `jobs` and `uploads` insert them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base


class HoldingRow(Base):
    """One change. The sum over a tenant's rows is what it holds; the store replaces many rows by their sum."""

    __tablename__ = "holdings"

    tenant: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger)
    """Jobs that are not final."""
    speech_ms: Mapped[int] = mapped_column(BigInteger)
    """Their speech."""
    stored_bytes: Mapped[int] = mapped_column(BigInteger)
    """Declared bytes of uploads, and bytes of videos."""
