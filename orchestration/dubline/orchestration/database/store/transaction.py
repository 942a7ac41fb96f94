"""Transactions: committed at the end, rolled back on any error, vendor errors translated."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from dubline.orchestration.domain.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


#: Of SQLAlchemy, and of the driver where it is spoken to directly.
_UNAVAILABLE: Final = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate what the driver raises.

    Raises:
        DatabaseUnavailableError: the server is away, too slow, or resolved a deadlock against us.
    """
    try:
        yield
    except _UNAVAILABLE as error:
        raise DatabaseUnavailableError from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Open a session in one transaction.

    Raises:
        DatabaseUnavailableError: the server is away, too slow, or resolved a deadlock against us.
    """
    with translated_errors(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


class OneStatement:
    """Runs statements that are transactions of their own: one round trip each, where a block costs four.

    They go to the driver as they are, for a worker's calls cost more in the layers above it than on the server. When
    the connection breaks in the middle, the statement may have been carried out or not; nothing here repeats it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        """Run one statement, with parameters as the driver writes them, and give its rows as named tuples.

        Raises:
            DatabaseUnavailableError: the server is away, too slow, or resolved a deadlock against us.
        """
        with translated_errors(), closing(self._engine.raw_connection()) as pooled:
            connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
            try:
                connection.autocommit = True
                cursor = connection.cursor(row_factory=namedtuple_row).execute(statement, values)
                return cursor.fetchall() if cursor.description else []
            finally:
                if connection.closed:
                    pooled.invalidate()
                else:
                    connection.autocommit = False
