"""Free TCP ports on loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Final

LOOPBACK: Final = "127.0.0.1"
_PROBE_S: Final = 0.5


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on.

    All are held until the last is found, so they differ. Another program can still take one before it is
    used; the part that wanted it then says so in its log.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def accepts(port: int) -> bool:
    """Tell whether something listens on a port."""
    try:
        socket.create_connection((LOOPBACK, port), _PROBE_S).close()
    except OSError:
        return False
    return True


def answers(port: int, question: bytes, answer: bytes) -> bool:
    """Tell whether a server answers a question, both in its own protocol."""
    try:
        with socket.create_connection((LOOPBACK, port), _PROBE_S) as connection:
            connection.sendall(question)
            return connection.recv(len(answer)) == answer
    except OSError:
        return False
