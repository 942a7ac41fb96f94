"""The child's end of the socket to its parent process: notifications and stop requests.

Each message is one byte. The socket is closed when the parent process ends; the child then ends itself.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from dubline.worker.runtime.heartbeat import kill_worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from dubline.worker.runtime.shutdown import Shutdown

#: From the parent: poll for work; stop after the current unit of work; stop at the next step.
NOTIFY: Final = b"n"
SHUT_DOWN: Final = b"d"
FORCE_STOP: Final = b"h"
#: From the child, once per notification: it has polled since, and no work is left.
POLLED: Final = b"."
#: Exit codes of the child. After `UNPREPARED` no new child could work either; after `DEVICE_FAILED` a new child can;
#: after `QUARANTINED` a new child tests itself once the quarantine is over.
UNPREPARED: Final = 3
DEVICE_FAILED: Final = 4
QUARANTINED: Final = 5
#: Environment variable of a child that follows one that ended with `QUARANTINED`.
AFTER_QUARANTINE: Final = "DUBLINE_AFTER_QUARANTINE"


class ParentChannel:
    """Receives the parent's messages in a thread.

    Args:
        connection: a stream socket; only the parent process has the other end open.
        shutdown: updated by the parent's stop requests.
        give_up: called when the parent has closed the socket; ends this process.
    """

    def __init__(
        self, connection: socket.socket, shutdown: Shutdown, give_up: Callable[[], None] = kill_worker
    ) -> None:
        self._connection = connection
        self._shutdown = shutdown
        self._give_up = give_up
        self._notified = False
        self._received = Event()
        Thread(target=self._receive_all, name="parent-channel", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait for the next message, at most `seconds`."""
        self._received.wait(seconds)
        self._received.clear()

    def pop_notification(self) -> bool:
        """Return whether a notification arrived since the last call."""
        notified, self._notified = self._notified, False
        return notified

    def acknowledge(self) -> None:
        """Confirm that the poll of a notification is complete."""
        # A closed socket is handled by the receiving thread.
        with suppress(OSError):
            self._connection.sendall(POLLED)

    def _receive_all(self) -> None:
        while message := self._receive():
            if message == NOTIFY:
                self._notified = True
            elif message == SHUT_DOWN:
                self._shutdown.request()
            elif message == FORCE_STOP:
                self._shutdown.force()
            self._received.set()
        self._give_up()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(1)
        except OSError:
            return b""
