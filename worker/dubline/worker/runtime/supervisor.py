"""The supervisor in the parent process: keeps one child running, and forwards notifications and stop requests.

It runs in a thread of its own, so the child also works during a broker outage. It uses neither the broker nor the
database.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from threading import Event, Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW, quarantine_s
from dubline.worker.runtime.channel import AFTER_QUARANTINE, FORCE_STOP, NOTIFY, QUARANTINED, SHUT_DOWN, UNPREPARED
from dubline.worker.runtime.forked_child import ForkedChild
from dubline.worker.runtime.liveness import LivenessFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dubline.worker.runtime.forked_child import Work

_log = structlog.get_logger(__name__)

#: After a child that ran for less than this the supervisor pauses, so that a crash loop does not use the processor.
SHORT_RUN_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
STEP_S: Final = 0.1
#: Id of the process that inherits the orphans of others. In a container it is the worker's parent process.
INIT: Final = 1
NO_CREDENTIALS: Final[Mapping[str, str]] = MappingProxyType({})


class Supervisor:
    """Starts a child, and a new one whenever it ends, until `stop` is called.

    `stop` may be called from a signal handler: it acquires no lock.

    Args:
        command: starts the child; the file descriptor of its socket and its folder are appended.
        folder: scratch folder of this worker.
        credentials: environment variables of the child besides those of this process.
        liveness: shows during a quarantine that the worker is alive and not ready.
        first: the work of the first child, which is then a fork of this process: its imports are done. `start` must be
            called while this process has one thread. None: the first child is started by the command too.

    Attributes:
        gave_up: a child exited with `UNPREPARED`, so no new one is started.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        credentials: Mapping[str, str] = NO_CREDENTIALS,
        liveness: LivenessFile | None = None,
        first: Work | None = None,
    ) -> None:
        self._command = tuple(command)
        self._folder = folder
        self._credentials = credentials
        self._liveness = liveness or LivenessFile(None)
        self._first = first
        self._forked: tuple[ForkedChild, socket.socket] | None = None
        self._stops = 0
        self._quarantines = 0
        self._connection: socket.socket | None = None
        self._running = Event()
        self._thread = Thread(target=self._keep_running, name="supervisor")
        self.gave_up = False

    def start(self) -> None:
        """Start the first child."""
        if self._first is not None:
            self._forked = ForkedChild.start(self._first, self._folder, self._credentials)
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stops > 0

    def stop(self, *, force: bool = False) -> None:
        """Let the child finish its unit of work and exit; a second call forces the stop.

        Args:
            force: force the stop at the first call.
        """
        self._stops += 2 if force else 1
        self._send_stop()

    def notify(self) -> None:
        """Let the child poll for work; return when it has done all it found, or has ended.

        So a busy worker takes no second wake-up from the broker, and other workers get it.
        """
        while not self.stopping:
            if self._running.wait(STEP_S) and (connection := self._connection) is not None:
                with suppress(OSError):
                    connection.sendall(NOTIFY)
                    connection.recv(1)
                return

    def wait(self) -> None:
        """Wait for the last child to end, after `stop`."""
        self._thread.join()

    def _keep_running(self) -> None:
        pause_s = 0.0
        try:
            while not self.stopping:
                started_at = time.monotonic()
                code = self._run()
                if code == UNPREPARED:
                    self.gave_up = True
                    return
                if self.stopping:
                    return
                _log.warning("child_ended", exit_code=code)
                if code == QUARANTINED:
                    # As long as the quarantine in the worker's row, or shorter after a restart of this process.
                    self._pause(quarantine_s(FAILURES_IN_A_ROW + self._quarantines), self._liveness.withdraw)
                    self._quarantines += 1
                    _collect_orphans()
                    continue
                self._quarantines = 0
                short = time.monotonic() - started_at < SHORT_RUN_S
                pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s)) if short else 0.0
                self._pause(pause_s)
                _collect_orphans()
        finally:
            # The main thread may be waiting for the broker; it ends as after a signal.
            if not self.stopping:
                os.kill(os.getpid(), signal.SIGTERM)

    def _run(self) -> int | None:
        """Run one child to its end; return its exit code, or None if it could not be started."""
        child: ForkedChild | subprocess.Popen[bytes]
        try:
            (child, ours), self._forked = self._forked or self._started(), None
        except OSError as error:
            _log.error("child_not_started", error=str(error))
            return None
        with ours:
            self._connection = ours
            # `stop` may have been called while the child was being started.
            self._send_stop()
            self._running.set()
            try:
                return child.wait()
            finally:
                self._running.clear()
                self._connection = None

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a child by the command; return it and this process's end of the socket to it."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = (*self._command, str(theirs.fileno()), str(self._folder))
            more = {AFTER_QUARANTINE: "1"} if self._quarantines else {}
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, **self._credentials, **more},
                )
            except OSError:
                ours.close()
                raise
        return child, ours

    def _send_stop(self) -> None:
        connection, message = self._connection, FORCE_STOP if self._stops > 1 else SHUT_DOWN
        if connection is not None and self._stops:
            with suppress(OSError):
                connection.send(message, socket.MSG_DONTWAIT)

    def _pause(self, seconds: float, step: Callable[[], None] = lambda: None) -> None:
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            step()
            time.sleep(STEP_S)


def _collect_orphans() -> None:
    """Collect the processes of children that have ended; without it they count as processes of the container for ever.

    Called while there is no child.
    """
    if os.getpid() == INIT:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
