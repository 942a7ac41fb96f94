"""Migration of the database schema, without a configuration file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import create_engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from dubline.orchestration.database import migrations
from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dubline.orchestration.settings import DatabaseSettings

CONNECT_TIMEOUT_S: Final = 5
#: Attempts at a migration that does not get the lock on a table, and seconds between them.
LOCK_ATTEMPTS: Final = 60
LOCK_PAUSE_S: Final = 1.0


def migrate(settings: DatabaseSettings, revision: str = "head") -> None:
    """Upgrade the tables to a revision; a database that already has it, or those of a newer version, is not changed.

    A migration that does not get a lock soon is rolled back and repeated, so that statements of the service wait for
    half a second for each of its tables at most.

    Raises:
        DatabaseUnavailableError: the server is unavailable.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    # The default separator splits paths that contain colons or spaces.
    config.set_main_option("path_separator", "newline")
    engine = create_engine(
        settings.url.get_secret_value(),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )
    try:
        for _ in range(LOCK_ATTEMPTS):
            if _upgraded(engine, config, revision):
                return
            time.sleep(LOCK_PAUSE_S)
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError from error
    raise DatabaseUnavailableError("A transaction holds a lock that the migration needs. End it, then migrate again.")


def _upgraded(engine: Engine, config: Config, revision: str) -> bool:
    """Upgrade; return False if a lock on a table is held by another transaction."""
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except OperationalError as error:
        if not isinstance(error.orig, (LockNotAvailable, DeadlockDetected)):
            raise
        return False
    return True
