"""Keeps a lease alive from a thread of its own, and knows when it is lost."""

import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

import structlog

from dubline.orchestration.errors import DublineError, LeaseLostError
from dubline.orchestration.settings import LeaseSettings

log = structlog.get_logger(__name__)


class Heartbeat:
    """Renews a lease at every beat while its `with` block runs.

    Args:
        renew: asks for `duration_s` more; raises LeaseLostError when another worker may have the work.
        settings: how long a lease lasts and how often it is renewed.
    """

    def __init__(self, renew: Callable[[float], object], settings: LeaseSettings) -> None:
        self._renew = renew
        self._settings = settings
        self._stop = Event()
        self._lost = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
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
        """Stops work that is no longer ours.

        Raises:
            LeaseLostError: the lease was lost.
        """
        if self.lost:
            raise LeaseLostError

    def _beat(self) -> None:
        try:
            self._renew_until_stopped()
        finally:
            # Whatever ended the beats, work that nobody renews is not ours for long.
            if not self._stop.is_set():
                self._lost.set()
                log.warning("lease_lost")

    def _renew_until_stopped(self) -> None:
        renewed_at = time.monotonic()
        while not self._stop.wait(self._settings.heartbeat_s):
            try:
                self._renew(self._settings.duration_s)
                renewed_at = time.monotonic()
            except LeaseLostError:
                return
            except DublineError as error:
                # The database may be back at the next beat; the token decides in the end.
                log.warning("heartbeat_missed", code=error.code)
                if time.monotonic() - renewed_at > self._settings.duration_s:
                    return
