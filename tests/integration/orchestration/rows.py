"""Direct access to the tables, for assertions and to change timestamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store


def column(store: Store, query: str, **values: Any) -> list[Any]:
    """Return the first column of a query."""
    with transaction(store._engine) as session:
        return list(session.scalars(text(query), values))


def change(store: Store, statement: str, **values: Any) -> None:
    with transaction(store._engine) as session:
        session.execute(text(statement), values)


def pending_deletion(store: Store) -> set[str]:
    return set(column(store, "SELECT object_key FROM doomed_objects"))
