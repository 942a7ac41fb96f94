"""What is done once after a copy of the database was restored: repair of events, and the objects that rows expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.object_keys import upload_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sqlalchemy import Engine, TextClause

#: Rows that are read at once.
PAGE: Final = 1000
FIRST: Final = UUID(int=0)
#: A restored copy counts transactions anew, and readers of events see none with a larger id than the newest one.
_REPAIR_EVENTS: Final = text("""
UPDATE events SET transaction_id = '1'
WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
""")
_SELECT_RESULTS: Final = text("""
SELECT id, result_key FROM jobs
WHERE id > :after AND result_key IS NOT NULL AND result_deleted_at IS NULL ORDER BY id LIMIT :limit
""")
_SELECT_UPLOADS: Final = text("""
SELECT id FROM uploads WHERE tenant = :tenant AND id > :after AND state IN ('probing', 'ready')
ORDER BY id LIMIT :limit
""")


class Restored:
    """Operations on a restored copy, before other processes use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def repair_events(self) -> int:
        """Make the events of the copy readable, in the order of their ids; return how many were not."""
        with transaction(self._engine) as session:
            session.execute(text("SET LOCAL statement_timeout = 0"))
            return session.execute(_REPAIR_EVENTS).rowcount  # type: ignore[attr-defined, no-any-return]

    def results(self) -> Iterator[tuple[UUID, str]]:
        """Read the id of each job that has a video and the key of the video, in the order of keys."""
        for row in self._pages(_SELECT_RESULTS, {}):
            yield row.id, row.result_key

    def uploads(self, tenant: str) -> Iterator[tuple[UUID, str]]:
        """Read the id and the key of each upload of a tenant whose file is in the bucket, in the order of keys."""
        for row in self._pages(_SELECT_UPLOADS, {"tenant": tenant}):
            yield row.id, upload_key(tenant, row.id)

    def tenants(self) -> tuple[str, ...]:
        """Read the names of all tenants."""
        with transaction(self._engine) as session:
            return tuple(session.scalars(text("SELECT name FROM tenants ORDER BY name")))

    def _pages(self, statement: TextClause, values: dict[str, Any]) -> Iterator[Any]:
        after = FIRST
        while True:
            with transaction(self._engine) as session:
                page = session.execute(statement, {**values, "after": after, "limit": PAGE}).all()
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id
