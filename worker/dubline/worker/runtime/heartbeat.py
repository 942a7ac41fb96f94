"""Keeps a lease alive from a thread of its own while the work goes on, and knows when the lease is lost."""

from __future__ import annotations

import os
import signal
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self

import structlog

from dubline.orchestration.domain.errors import DublineError, LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dubline.orchestration.settings import LeaseSettings

_log = structlog.get_logger(__name__)

#: Every step reports within seconds but one: to load the networks of another preset from a cold disk.
PATIENCE_S: Final = 300.0

#: Nobody is rescued while the database is away, so work goes on for so many leases; after that it may be this machine
#: alone that cannot reach it, and others have the work.
OUTAGE_LEASES: Final = 5


def kill_worker() -> None:
    """End this process at once; the pool's parent starts another."""
    os.kill(os.getpid(), signal.SIGKILL)


class Heartbeat:
    """Renews a lease at every beat while its `with` block runs and shows signs of life.

    A block that shows none for `patience_s` loses its lease, so that another worker gets the work. One that does
    not end within a lease's duration after that hangs where nothing can wake it, and is given up.

    Args:
        renew: asks for `duration_s` more; raises LeaseLostError when another worker may have the work.
        settings: how long a lease lasts and how often it is renewed.
        patience_s: longest time between two signs of life.
        give_up: ends the process that hangs.
    """

    def __init__(
        self,
        renew: Callable[[float], object],
        settings: LeaseSettings,
        patience_s: float = PATIENCE_S,
        give_up: Callable[[], None] = kill_worker,
    ) -> None:
        self._renew = renew
        self._settings = settings
        self._patience_s = patience_s
        self._give_up = give_up
        self._alive_at = time.monotonic()
        self._stop = Event()
        self._lost = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._alive_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether the work may belong to someone else by now."""
        return self._lost.is_set()

    def check(self) -> None:
        """Show a sign of life, and stops work that is no longer ours.

        Raises:
            LeaseLostError: the lease was lost.
        """
        self._alive_at = time.monotonic()
        if self.lost:
            raise LeaseLostError

    def _beat(self) -> None:
        stalled = False
        try:
            stalled = self._renew_until_stopped()
        finally:
            # Whatever ended the beats, work that nobody renews is not ours for long.
            if not self._stop.is_set():
                self._lost.set()
                _log.warning("lease_lost")
        if stalled and not self._stop.wait(self._settings.duration_s):
            _log.critical("worker_hangs")
            self._give_up()

    def _renew_until_stopped(self) -> bool:
        """Renew until the block ends or the lease is lost; tells whether it was lost for want of signs of life."""
        renewed_at = time.monotonic()
        while not self._stop.wait(self._settings.heartbeat_s):
            silent_s = time.monotonic() - self._alive_at
            if silent_s > self._patience_s:
                _log.error("work_stalled", silent_s=round(silent_s))
                return True
            try:
                self._renew(self._settings.duration_s)
                renewed_at = time.monotonic()
            except LeaseLostError:
                return False
            except DublineError as error:
                # The database may be back at the next beat; the token decides in the end.
                _log.warning("heartbeat_missed", code=error.code)
                if time.monotonic() - renewed_at > OUTAGE_LEASES * self._settings.duration_s:
                    return False
        return False
