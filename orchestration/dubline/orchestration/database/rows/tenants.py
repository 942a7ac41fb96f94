"""Tenants and their API keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from dubline.orchestration.database.rows.base import Base, sql_list
from dubline.orchestration.domain.keys import Scope


class TenantRow(Base):
    """One tenant."""

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint(r"name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'", name="name"),
        CheckConstraint("inputs_s > 0 AND results_s > 0", name="retention"),
        CheckConstraint(
            "requests_per_s > 0 AND queued_jobs >= 0 AND queued_s >= 0 AND running_jobs > 0 AND stored_bytes >= 0"
            " AND upload_bytes > 0",
            name="limits",
        ),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    virtual_time_s: Mapped[float] = mapped_column(server_default=text("0"))
    """Order key of its next job (see `domain.fairness`)."""
    probe_time_s: Mapped[float] = mapped_column(server_default=text("0"))
    """The same for its uploads that wait for a probe."""
    refund_from_s: Mapped[float | None]
    """Smallest order key of a job that ended unclaimed; later waiting jobs of the tenant are to move forward."""
    inputs_s: Mapped[int | None]
    results_s: Mapped[int | None]
    requests_per_s: Mapped[float | None]
    """Limits; NULL: the server's default."""
    queued_jobs: Mapped[int | None] = mapped_column(BigInteger)
    queued_s: Mapped[float | None]
    running_jobs: Mapped[int | None] = mapped_column(BigInteger)
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    upload_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKeyRow(Base):
    """One API key. Only its hash is stored; the key is shown once, when it is created."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint(f"cardinality(scopes) > 0 AND scopes <@ ARRAY[{sql_list(Scope)}]", name="scopes"),
    )

    sha256: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{read,submit,delete}'"))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
