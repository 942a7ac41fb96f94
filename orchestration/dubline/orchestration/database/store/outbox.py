"""The outbox: notifications are committed together with their work and published afterwards, at least once."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration import tracing
from dubline.orchestration.database.store.transaction import OneStatement, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

RENDER: Final = "render"
PROBE: Final = "probe"
#: Waiting rows are counted up to this number, more than a queue may have messages (`queue.NOTIFICATION_LIMIT`).
COUNT_LIMIT: Final = 100

_INSERT: Final = text("INSERT INTO outbox (task, count, traceparent) VALUES (:task, :count, :traceparent)")
_LOCK_OLDEST: Final = text("""
SELECT id, task, count, traceparent FROM outbox ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_ANY: Final = "SELECT EXISTS (SELECT FROM outbox) AS found"
_DELETE_SENT: Final = text("DELETE FROM outbox WHERE id = ANY(:ids)")


class Outbox:
    """Notifications that are to be published."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)

    def has_any(self) -> bool:
        """Tell whether there are notifications, in one round trip."""
        return bool(self._run(_ANY)[0].found)

    def publish(self, send: Callable[[Mapping[str, int]], None], limit: int = 1000) -> int:
        """Publish notifications, oldest first.

        Their rows are deleted if `send` returns, and kept if it raises. If the commit fails afterwards, they are
        published again, which is harmless.

        Args:
            send: called with the number of jobs or uploads that became claimable by name of the task; never empty.
            limit: maximum number of rows.

        Returns:
            Number of published rows.
        """
        with transaction(self._engine) as session:
            rows = session.execute(_LOCK_OLDEST, {"limit": limit}).all()
            if not rows:
                return 0
            counts: Counter[str] = Counter()
            for _, task, count, _ in rows:
                counts[f"dubline.{task}"] += count
            started_ns = time.time_ns()
            send(counts)
            for row in rows:
                if row.traceparent is not None:
                    tracing.record("publish", row.traceparent, started_ns, time.time_ns())
            session.execute(_DELETE_SENT, {"ids": [row.id for row in rows]})
            return len(rows)


def notify(session: Session, task: str, count: int) -> None:
    """Insert a notification about claimable jobs or uploads; it is published after the caller's transaction."""
    if count > 0:
        session.execute(_INSERT, {"task": task, "count": count, "traceparent": tracing.traceparent()})
