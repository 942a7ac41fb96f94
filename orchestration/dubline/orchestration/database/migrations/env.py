"""Environment of Alembic: one connection, one transaction, one migration at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import context
from sqlalchemy import text

from dubline.orchestration.database.rows import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Key of the advisory lock; it differs from the key of the maintenance lock.
MIGRATION_LOCK: Final = 0x6475626D

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    # Without the lock, replicas that start at the same time would create the same tables.
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    context.run_migrations()
