"""The outbox: wake-ups are committed with the work they are for, and sent afterwards, at least once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

RENDER: Final = "render"
PROBE: Final = "probe"

_INSERT: Final = text("INSERT INTO outbox (task, count) VALUES (:task, :count)")
_LOCK_OLDEST: Final = text("SELECT id, task, count FROM outbox ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED")
_DELETE_SENT: Final = text("DELETE FROM outbox WHERE id = ANY(:ids)")


class Outbox:
    """Wake-ups that wait to be sent."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def publish(self, send: Callable[[Mapping[str, int]], None], limit: int = 1000) -> int:
        """Send the wake-ups that wait, oldest first.

        They leave the outbox when `send` returns, and stay when it raises. A commit that fails afterwards has
        them sent again, which is harmless.

        Args:
            send: gets how many jobs or uploads became claimable, by the name of the task; never empty.
            limit: most rows in one call.

        Returns:
            How many rows were sent.
        """
        with transaction(self._engine) as session:
            rows = session.execute(_LOCK_OLDEST, {"limit": limit}).all()
            if not rows:
                return 0
            counts: Counter[str] = Counter()
            for _, task, count in rows:
                counts[f"dubline.{task}"] += count
            send(counts)
            session.execute(_DELETE_SENT, {"ids": [row.id for row in rows]})
            return len(rows)


def notify(session: Session, task: str, count: int) -> None:
    """Have workers told about new work, once the caller's transaction commits."""
    if count > 0:
        session.execute(_INSERT, {"task": task, "count": count})
