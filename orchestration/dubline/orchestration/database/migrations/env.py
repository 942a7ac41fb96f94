"""Environment of Alembic: one connection, one process at a time, a transaction for each migration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from alembic import context
from sqlalchemy import text

from dubline.orchestration.database.migrations import LOCK_TIMEOUT_MS, latest
from dubline.orchestration.database.rows import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Key of the advisory lock; it differs from the key of the maintenance lock.
MIGRATION_LOCK: Final = 0x6475626D

#: Seconds between two tries to take the lock.
RETRY_S: Final = 0.2

_log = structlog.get_logger(__name__)

connection: Connection = context.config.attributes["connection"]


def _lock(function: str) -> bool:
    taken = connection.execute(text(f"SELECT {function}(:lock)"), {"lock": MIGRATION_LOCK}).scalar_one()
    connection.commit()
    return bool(taken)


# Without the lock, replicas that start at the same time would create the same tables. They poll for it: an index that
# is created concurrently waits for every open transaction, and so would never be finished while one waits for the lock.
while not _lock("pg_try_advisory_lock"):
    time.sleep(RETRY_S)
# Statements of the service wait behind a migration that waits for a lock on a table.
connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
connection.commit()
try:
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    current = context.get_context().get_current_revision() or ""
    connection.commit()
    if current > latest():
        # As after a rollback to this version of the code, which runs on the tables of the next one.
        _log.warning("tables_are_newer", revision=current, own=latest())
    else:
        with context.begin_transaction():
            context.run_migrations()
finally:
    connection.rollback()
    _lock("pg_advisory_unlock")
