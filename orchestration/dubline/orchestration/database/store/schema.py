"""Migration of the database schema, without a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from dubline.orchestration.database import migrations
from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from dubline.orchestration.settings import DatabaseSettings

CONNECT_TIMEOUT_S: Final = 5


def migrate(settings: DatabaseSettings, revision: str = "head") -> None:
    """Upgrade the tables to a revision; a database that already has it is not changed.

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
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError from error
