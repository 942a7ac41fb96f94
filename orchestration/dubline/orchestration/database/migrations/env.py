"""What Alembic runs for every command: one connection, one transaction, one migrator at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import context
from sqlalchemy import text

from dubline.orchestration.database.rows import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATION_LOCK: Final = 0x6475626D  # another constant than that of the control lock

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    # Replicas that start together would otherwise create the same tables.
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    context.run_migrations()
