"""The parent's side of a worker: keeps one child running, passes on wake-ups and stops. Knows no broker and no rows.

Works whether or not the broker does, because it has a thread of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

import structlog

from dubline.worker.runtime.channel import DRAIN, HURRY, NUDGE, UNPREPARED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_log = structlog.get_logger(__name__)

#: A child that ends sooner than this is followed by a pause, so that one that cannot live burns no processor.
SHORT_LIFE_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
STEP_S: Final = 0.1


class Supervisor:
    """Starts a child, and another whenever it ends, until a stop is asked for.

    `stop` may be called from a signal handler: it takes no lock.

    Args:
        command: starts the child, which is told the number of its end of the line and its folder as well.
        folder: scratch folder of this worker.

    Attributes:
        gave_up: a child said that it cannot work, so no other was started.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._asked = 0
        self._line: socket.socket | None = None
        self._running = Event()
        self._thread = Thread(target=self._keep, name="supervisor")
        self.gave_up = False

    def start(self) -> None:
        """Start the first child."""
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked > 0

    def stop(self, *, hurry: bool = False) -> None:
        """Let the child end its piece of work and leave; asked again, or in a hurry, leave its work behind.

        Args:
            hurry: as if asked twice.
        """
        self._asked += 2 if hurry else 1
        self._pass_on()

    def nudge(self) -> None:
        """Let the child look for work; returns when it has done what it found, or is gone.

        So a worker takes no second wake-up while it is busy: that one is for others.
        """
        while not self.stopping:
            if self._running.wait(STEP_S) and (line := self._line) is not None:
                with suppress(OSError):
                    line.sendall(NUDGE)
                    line.recv(1)
                return

    def wait(self) -> None:
        """Wait for the last child to end, after `stop`."""
        self._thread.join()

    def _keep(self) -> None:
        pause_s = 0.0
        try:
            while not self.stopping:
                began = time.monotonic()
                code = self._run()
                if code == UNPREPARED:
                    self.gave_up = True
                    return
                if not self.stopping:
                    _log.warning("child_ended", exit_code=code)
                    short = time.monotonic() - began < SHORT_LIFE_S
                    pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s)) if short else 0.0
                    self._pause(pause_s)
        finally:
            # The rest of this process, which may be waiting for the broker, ends as it does after a signal.
            if not self.stopping:
                os.kill(os.getpid(), signal.SIGTERM)

    def _run(self) -> int | None:
        """One child from start to end; gives its exit code, None if it could not be started."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                command = (*self._command, str(theirs.fileno()), str(self._folder))
                try:
                    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
                except OSError as error:
                    _log.error("child_not_started", error=str(error))
                    return None
            self._line = ours
            # A stop that came while the child was being started.
            self._pass_on()
            self._running.set()
            try:
                return child.wait()
            finally:
                self._running.clear()
                self._line = None

    def _pass_on(self) -> None:
        line, word = self._line, HURRY if self._asked > 1 else DRAIN
        if line is not None and self._asked:
            with suppress(OSError):
                line.send(word, socket.MSG_DONTWAIT)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            time.sleep(STEP_S)
