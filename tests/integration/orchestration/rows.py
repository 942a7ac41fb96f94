"""Direct access to the tables, for assertions and to change timestamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.quotas import Holdings

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

_COUNTED = text("""
SELECT (SELECT count(*) FROM jobs WHERE tenant = :tenant AND finalized_at IS NULL),
    (SELECT coalesce(sum(round(speech_s * 1000)), 0) FROM jobs WHERE tenant = :tenant AND finalized_at IS NULL),
    (SELECT coalesce(sum(size_bytes), 0) FROM uploads WHERE tenant = :tenant)
    + (SELECT coalesce(sum(result_size_bytes), 0) FROM jobs WHERE tenant = :tenant AND result_deleted_at IS NULL)
""")


def column(store: Store, query: str, **values: Any) -> list[Any]:
    """Return the first column of a query."""
    with transaction(store._engine) as session:
        return list(session.scalars(text(query), values))


def change(store: Store, statement: str, **values: Any) -> None:
    with transaction(store._engine) as session:
        session.execute(text(statement), values)


def pending_deletion(store: Store) -> set[str]:
    return set(column(store, "SELECT object_key FROM doomed_objects"))


def pass_time(store: Store, seconds: float) -> None:
    """Move all timestamps of uploads, batches and jobs into the past."""
    for table in ("uploads", "batches", "jobs"):
        dates = (
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = :table"
            " AND data_type = 'timestamp with time zone'"
        )
        moved = ", ".join(
            f"{name} = {name} - make_interval(secs => :seconds)" for name in column(store, dates, table=table)
        )
        change(store, f"UPDATE {table} SET {moved}", seconds=seconds)  # noqa: S608 - our own text


def counted_holdings(store: Store, tenant: str) -> Holdings:
    """Count what a tenant holds, row by row."""
    with transaction(store._engine) as session:
        jobs, speech_ms, stored_bytes = session.execute(_COUNTED, {"tenant": tenant}).one()
    return Holdings(jobs=jobs, speech_s=float(speech_ms) / 1000, stored_bytes=int(stored_bytes))
