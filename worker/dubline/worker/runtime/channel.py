"""The child's end of the line to its parent: it hears when to look for work and when to stop.

Each message is one byte. The line breaks when the parent dies, and then the child must not outlive it.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from dubline.worker.runtime.heartbeat import kill_worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from dubline.worker.runtime.shutdown import Drain

#: From the parent: there may be work; stop after the piece at hand; stop at the next step.
NUDGE: Final = b"n"
DRAIN: Final = b"d"
HURRY: Final = b"h"
#: From the child, for each nudge: looked since, and nothing is left to do.
LOOKED: Final = b"."
#: Exit codes of the child: it cannot work, and no other could; it can work no more, but another can.
UNPREPARED: Final = 3
DEVICE_FAILED: Final = 4


class Upstream:
    """Listens in a thread of its own.

    Args:
        line: a stream socket whose other end the parent alone holds.
        drain: told of stops.
        give_up: ends the process that the parent left alone.
    """

    def __init__(self, line: socket.socket, drain: Drain, give_up: Callable[[], None] = kill_worker) -> None:
        self._line = line
        self._drain = drain
        self._give_up = give_up
        self._nudged = False
        self._woken = Event()
        Thread(target=self._listen, name="upstream", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Sleep until the parent says something, or that long."""
        self._woken.wait(seconds)
        self._woken.clear()

    def take_nudge(self) -> bool:
        """Whether the parent asked for a look since the last call."""
        nudged, self._nudged = self._nudged, False
        return nudged

    def answer(self) -> None:
        """Say that the look that was asked for is over."""
        # A parent that is gone is noticed by the listener.
        with suppress(OSError):
            self._line.sendall(LOOKED)

    def _listen(self) -> None:
        while word := self._hear():
            if word == NUDGE:
                self._nudged = True
            elif word == DRAIN:
                self._drain.ask()
            elif word == HURRY:
                self._drain.hurry()
            self._woken.set()
        self._give_up()

    def _hear(self) -> bytes:
        try:
            return self._line.recv(1)
        except OSError:
            return b""
