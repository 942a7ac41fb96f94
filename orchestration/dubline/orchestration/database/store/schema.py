"""The schema: brings a database to the newest migration, without a configuration file."""

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
    """Create or change the tables up to a revision; a database that is there already is left as it is.

    Raises:
        DatabaseUnavailableError: the server is away.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    # The default splits the location at colons and spaces, which folders may have.
    config.set_main_option("path_separator", "newline")
    engine = create_engine(
        settings.url.get_secret_value(),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError from error
