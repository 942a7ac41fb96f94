"""The heartbeat: renews a lease from a thread during an attempt and detects a lost lease."""

from __future__ import annotations

import contextvars
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

    from dubline.worker.settings import LeaseSettings

_log = structlog.get_logger(__name__)

#: An attempt that reports no progress for this long counts as stalled. All steps report within seconds, except loading
#: the networks of another preset from a cold disk.
STALL_S: Final = 300.0

#: The rescuer cannot take leases while the database is down, so an attempt continues for this many lease durations
#: without a renewal. After that the fault may be local to this machine, and another worker may have the work.
OUTAGE_LEASES: Final = 5


def kill_worker() -> None:
    """Kill this process with SIGKILL; the supervisor starts a new child."""
    os.kill(os.getpid(), signal.SIGKILL)


class Heartbeat:
    """Renews a lease every `heartbeat_s` while its `with` block runs and calls `check`.

    A block that does not call `check` for `stall_s` loses its lease, so that another worker can claim the work. If the
    block does not end within another lease duration it cannot be interrupted, and `give_up` is called.

    Args:
        renew: extends the lease by its argument in seconds; raises LeaseLostError if another worker may have the work.
        settings: the lease duration and the heartbeat period.
        stall_s: longest permitted time between two calls of `check`.
        give_up: ends the stalled process.
    """

    def __init__(
        self,
        renew: Callable[[float], object],
        settings: LeaseSettings,
        stall_s: float = STALL_S,
        give_up: Callable[[], None] = kill_worker,
    ) -> None:
        self._renew = renew
        self._settings = settings
        self._stall_s = stall_s
        self._give_up = give_up
        self._checked_at = time.monotonic()
        self._stop = Event()
        self._lost = Event()
        # Its log events name the job as those of the block do.
        context = contextvars.copy_context()
        self._thread = Thread(target=context.run, args=(self._run,), name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._checked_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether another worker may have the work."""
        return self._lost.is_set()

    def check(self) -> None:
        """Record that the attempt makes progress, and stop it if its lease is lost.

        Raises:
            LeaseLostError: the lease is lost.
        """
        self._checked_at = time.monotonic()
        if self.lost:
            raise LeaseLostError

    def _run(self) -> None:
        stalled = False
        try:
            stalled = self._renew_until_stopped()
        finally:
            # Without renewals the lease expires soon, whatever ended this thread.
            if not self._stop.is_set():
                self._lost.set()
                _log.warning("lease_lost")
        if stalled and not self._stop.wait(self._settings.duration_s):
            _log.critical("worker_given_up")
            self._give_up()

    def _renew_until_stopped(self) -> bool:
        """Renew until the block ends or the lease is lost; return whether it is lost because the attempt stalled."""
        renewed_at = time.monotonic()
        while not self._stop.wait(self._settings.heartbeat_s):
            silent_s = time.monotonic() - self._checked_at
            if silent_s > self._stall_s:
                _log.error("work_stalled", silent_s=round(silent_s))
                return True
            try:
                self._renew(self._settings.duration_s)
                renewed_at = time.monotonic()
            except LeaseLostError:
                return False
            except DublineError as error:
                # The database may be back at the next renewal; the fencing token decides.
                _log.warning("heartbeat_missed", code=error.code, reason=repr(error.__cause__))
                if time.monotonic() - renewed_at > OUTAGE_LEASES * self._settings.duration_s:
                    return False
        return False
