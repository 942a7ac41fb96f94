"""Free TCP ports on loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_PROBE_S: Final = 0.5


def free_ports(count: int) -> list[int]:
    """Find unused ports.

    All are bound until the last is found, so they are distinct. Another program may use one before its part does; the
    part then fails and logs it.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def accepts(port: int) -> bool:
    """Return whether a server accepts connections on a port."""
    try:
        socket.create_connection((LOOPBACK, port), _PROBE_S).close()
    except OSError:
        return False
    return True


def responds(port: int, request: bytes, response: bytes) -> bool:
    """Return whether a server responds to a request with the given bytes."""
    try:
        with socket.create_connection((LOOPBACK, port), _PROBE_S) as connection:
            connection.sendall(request)
            return connection.recv(len(response)) == response
    except OSError:
        return False
