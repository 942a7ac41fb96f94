"""Transactions and single statements, with the errors of the driver translated."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.errors import LockNotAvailable
from psycopg.rows import namedtuple_row
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from dubline.orchestration.domain.errors import BusyError, DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

#: Errors of SQLAlchemy, and of the driver where it is used directly.
_UNAVAILABLE: Final = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate errors of the driver.

    Raises:
        BusyError: another transaction holds a lock; only connections of requests have a limit on this wait.
        DatabaseUnavailableError: the server is unavailable, timed out, or aborted this transaction in a deadlock.
    """
    try:
        yield
    except _UNAVAILABLE as error:
        if isinstance(getattr(error, "orig", error), LockNotAvailable):
            raise BusyError from error
        raise DatabaseUnavailableError from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Open a session in one transaction, which is rolled back on any error.

    Raises:
        DatabaseUnavailableError: the server is unavailable, timed out, or aborted this transaction in a deadlock.
    """
    with translated_errors(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


class OneStatement:
    """Runs single statements in autocommit mode, with one round trip each; a transaction takes four.

    They are passed to the driver directly, because for these statements SQLAlchemy takes more time than the server. If
    the connection breaks, the statement may or may not have been executed; it is not repeated.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        """Run one statement with parameters in the driver's format; return its rows as named tuples.

        Raises:
            DatabaseUnavailableError: the server is unavailable, timed out, or aborted this transaction in a deadlock.
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
