"""Workers: failures in a row and quarantine, kept in rows because a worker's process may end at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW, quarantine_s

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: Days after which a worker that was not seen is forgotten.
FORGOTTEN_DAYS: Final = 7

_READ: Final = """
SELECT failure_count, greatest(0, coalesce(extract(epoch FROM quarantined_until - now()), 0))::float8 AS quarantine_s
FROM workers WHERE name = %(worker)s
"""
_FAILED: Final = text("""
INSERT INTO workers (name, failure_count) VALUES (:worker, 1)
ON CONFLICT (name) DO UPDATE SET failure_count = workers.failure_count + 1, seen_at = now() RETURNING failure_count, id
""")
_SUCCEEDED: Final = "UPDATE workers SET failure_count = 0, quarantined_until = NULL WHERE name = %(worker)s"
_QUARANTINE: Final = text("""
UPDATE workers SET quarantined_until = now() + make_interval(secs => :seconds) WHERE name = :worker
""")
_EVENT: Final = text("""
INSERT INTO events (kind, subject_id, payload)
VALUES ('worker.quarantined', :id, jsonb_build_object(
    'worker', left(CAST(:worker AS text), 256), 'failure_count', CAST(:count AS integer),
    'quarantine_s', CAST(:seconds AS float8)))
""")
_FORGET: Final = text(f"DELETE FROM workers WHERE seen_at < now() - interval '{FORGOTTEN_DAYS} days'")  # noqa: S608


class Workers:
    """Failures in a row of each worker."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = OneStatement(engine)

    def read(self, worker: str) -> tuple[int, float]:
        """Return the failures in a row of a worker, and the seconds until its quarantine ends (0: none)."""
        rows = self._run(_READ, worker=worker)
        return (rows[0].failure_count, rows[0].quarantine_s) if rows else (0, 0.0)

    def failed(self, worker: str) -> int:
        """Count a failure of a worker; return its failures in a row.

        From `FAILURES_IN_A_ROW` on the worker is quarantined, with the event `worker.quarantined`.
        """
        with transaction(self._engine) as session:
            row = session.execute(_FAILED, {"worker": worker}).one()
            count: int = row.failure_count
            if count >= FAILURES_IN_A_ROW:
                values = {"worker": worker, "seconds": quarantine_s(count)}
                session.execute(_QUARANTINE, values)
                session.execute(_EVENT, values | {"id": row.id, "count": count})
            return count

    def succeeded(self, worker: str) -> None:
        """Set the failures in a row of a worker to zero."""
        self._run(_SUCCEEDED, worker=worker)

    def forget(self) -> int:
        """Delete the rows of workers that were not seen for `FORGOTTEN_DAYS`; return how many."""
        with transaction(self._engine) as session:
            return session.execute(_FORGET).rowcount  # type: ignore[attr-defined, no-any-return]
