"""Connections: how they are made, and how a dead one is found before anything is sent on it."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dubline.orchestration.settings import DatabaseSettings

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000
#: A server that vanished without a word is noticed after about this long.
KEEPALIVE_S: Final = 10
#: The server's side of the same: locks of a machine that lost its power are not held for two hours.
_SERVER_KEEPALIVES: Final = (
    f"-c tcp_keepalives_idle={KEEPALIVE_S} -c tcp_keepalives_interval={KEEPALIVE_S // 5} -c tcp_keepalives_count=3"
)


def create(settings: DatabaseSettings) -> Engine:
    """Make an engine that connects when first used."""
    engine = create_engine(
        settings.url.get_secret_value(),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} {_SERVER_KEEPALIVES}",
            "keepalives_idle": KEEPALIVE_S,
            "keepalives_interval": KEEPALIVE_S // 5,
            "keepalives_count": 3,
            "tcp_user_timeout": (CONNECT_TIMEOUT_S + KEEPALIVE_S) * 1000,
        },
    )
    event.listen(engine, "checkout", _discard_broken)
    return engine


def _discard_broken(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    # A restarted server must not fail the first request after it. What a server says to an idle connection is that
    # it ends, and that lies in our own socket already: no ping, so no round trip for those that live.
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN)
    notices: list[psycopg.errors.Diagnostic] = []
    connection.add_notice_handler(notices.append)
    try:
        while readable.poll(0) and not notices:
            connection.pgconn.consume_input()
            connection.pgconn.is_busy()  # reads what was consumed
    except psycopg.Error as error:
        raise InvalidatePoolError from error
    finally:
        connection.remove_notice_handler(notices.append)
    if notices:
        raise InvalidatePoolError
