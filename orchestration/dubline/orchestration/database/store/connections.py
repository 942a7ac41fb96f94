"""Connections to the database, and the detection of broken ones before they are used."""

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
POOL_TIMEOUT_S: Final = 30.0
#: Time for which a request waits for a row that another transaction has locked, or for a connection.
SERVING_TIMEOUT_MS: Final = 5000
#: Idle seconds before keepalives are sent. A server that does not reply is detected after about 16 s.
KEEPALIVE_S: Final = 10
#: The same for the server, so that it releases the locks of an unreachable client within seconds, not two hours.
_SERVER_KEEPALIVES: Final = (
    f"-c tcp_keepalives_idle={KEEPALIVE_S} -c tcp_keepalives_interval={KEEPALIVE_S // 5} -c tcp_keepalives_count=3"
)


def create(settings: DatabaseSettings, *, reserved: int = 0, serving: bool = False) -> Engine:
    """Create an engine that connects when it is first used.

    Args:
        settings: the database.
        reserved: number of connections; 0: `pool_size`, and in need twice as many.
        serving: for requests: none waits longer than `SERVING_TIMEOUT_MS` for a lock or a connection.
    """
    lock_timeout_ms = SERVING_TIMEOUT_MS if serving else 0
    engine = create_engine(
        settings.url.get_secret_value(),
        pool_size=reserved or settings.pool_size,
        max_overflow=0 if reserved else settings.pool_size,
        pool_timeout=SERVING_TIMEOUT_MS / 1000 if serving else POOL_TIMEOUT_S,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={lock_timeout_ms}"
            f" {_SERVER_KEEPALIVES}",
            "keepalives_idle": KEEPALIVE_S,
            "keepalives_interval": KEEPALIVE_S // 5,
            "keepalives_count": 3,
            "tcp_user_timeout": (CONNECT_TIMEOUT_S + KEEPALIVE_S) * 1000,
        },
    )
    event.listen(engine, "checkout", _discard_broken)
    return engine


def _discard_broken(connection: psycopg.Connection[Any], _record: object, _proxy: object) -> None:
    # The first request after a restart of the server must not fail. A server that ends an idle connection sends a
    # message, which is already in the local socket buffer. Reading it takes no round trip, unlike a ping.
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN)
    notices: list[psycopg.errors.Diagnostic] = []
    connection.add_notice_handler(notices.append)
    try:
        while readable.poll(0) and not notices:
            connection.pgconn.consume_input()
            connection.pgconn.is_busy()  # parses the consumed input
    except psycopg.Error as error:
        raise InvalidatePoolError from error
    finally:
        connection.remove_notice_handler(notices.append)
    if notices:
        raise InvalidatePoolError
