"""Columns and constraints of rows that a request with an idempotency key creates."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped

from dubline.orchestration.database.rows.base import equivalent


class Requested:
    """Idempotency key and hash of the request that created a row; both are NULL if it had no key."""

    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str | None]


def request_checks() -> list[CheckConstraint]:
    """Return the CHECKs of the columns."""
    return [
        CheckConstraint("char_length(idempotency_key) BETWEEN 1 AND 255", name="idempotency_key"),
        equivalent("request", "idempotency_key IS NULL", "request_sha256 IS NULL"),
    ]


def one_row_for_each_key(table: str) -> Index:
    """Return the unique index of a tenant's keys; most rows have none."""
    where = text("idempotency_key IS NOT NULL")
    return Index(f"{table}_idempotency_key", "tenant", "idempotency_key", unique=True, postgresql_where=where)
