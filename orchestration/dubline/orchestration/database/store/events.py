"""Reading of events in order, from a cursor, and pruning of old ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.events import RETENTION_DAYS, Cursor, Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from sqlalchemy import Engine

#: Events of a transaction are visible once every transaction with a smaller id has ended: an open one may still insert
#: events, which a reader with a later cursor would miss.
_AFTER: Final = text("""
SELECT transaction_id::text::bigint AS transaction_id, id, tenant, kind, subject_id, created_at, payload
FROM unnest(CAST(:kinds AS text[])) AS wanted (name), LATERAL (
    SELECT * FROM events
    WHERE kind = wanted.name AND (transaction_id, id) > (CAST(CAST(:transaction_id AS text) AS xid8), :event_id)
    AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY transaction_id, id LIMIT :limit
) AS found
ORDER BY found.transaction_id, found.id LIMIT :limit
""")
_PRUNE: Final = text(f"""
DELETE FROM events WHERE id IN (
    SELECT id FROM events WHERE created_at < now() - interval '{RETENTION_DAYS} days'
    ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
""")  # noqa: S608 - our own text


_APPEND: Final = "INSERT INTO events (kind, subject_id, payload) VALUES (%(kind)s, %(subject_id)s, %(payload)s::jsonb)"


class Events:
    """Events of the jobs and batches of all tenants."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)

    def append(self, kind: EventKind, subject_id: UUID, payload: Mapping[str, object]) -> None:
        """Insert an event that belongs to no change of another row.

        Args:
            kind: its kind.
            subject_id: id of what it is about.
            payload: at most 1 KiB as JSON.
        """
        self._run(_APPEND, kind=kind.value, subject_id=subject_id, payload=json.dumps(payload))

    def after(self, cursor: Cursor, kinds: Collection[EventKind], limit: int = 1000) -> tuple[Event, ...]:
        """Read the events after a cursor, oldest first.

        A reader that stores the cursor in the same transaction as its work processes each event once; a reader that
        stores it afterwards processes each event at least once.

        Args:
            cursor: cursor of the last event that was read; `Cursor()` for the first call.
            kinds: kinds of events to read.
            limit: maximum number of events.
        """
        values = {
            "transaction_id": str(cursor.transaction_id),
            "event_id": cursor.event_id,
            "kinds": [kind.value for kind in kinds],
            "limit": limit,
        }
        with transaction(self._engine) as session:
            return tuple(
                Event(
                    cursor=Cursor(row.transaction_id, row.id),
                    tenant=row.tenant,
                    kind=EventKind(row.kind),
                    subject_id=row.subject_id,
                    at=row.created_at,
                    payload=row.payload,
                )
                for row in session.execute(_AFTER, values)
            )

    def prune(self, limit: int) -> int:
        """Delete events older than `RETENTION_DAYS`; return how many."""
        with transaction(self._engine) as session:
            return session.execute(_PRUNE, {"limit": limit}).rowcount  # type: ignore[attr-defined, no-any-return]
