"""One transaction: committed at the end of the block, rolled back on any error, vendor errors translated."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from dubline.orchestration.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Open a session in one transaction.

    Raises:
        DatabaseUnavailableError: the server is away, too slow, or resolved a deadlock against us.
    """
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise DatabaseUnavailableError from error
