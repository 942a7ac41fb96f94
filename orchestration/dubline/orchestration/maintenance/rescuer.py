"""Rescue: takes work back from lost workers, and ends jobs whose time is up. Needs only the database."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.database.store import Store

#: Turns that lie further apart mean that the database was away, or we were.
OUTAGE_S: Final = 5.0
#: Two heartbeats and a connection: after an outage, workers that live renew their leases within this time.
PATIENCE_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Rescue:
    """Takes turns, and remembers when the last one was: leases that ran out during an outage say nothing yet.

    Args:
        store: the rows.
        clock: seconds that only grow.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._turned_at = clock()
        self._patient_until = 0.0

    def turn(self) -> None:
        """Take back jobs and uploads whose lease expired, and fail jobs past their deadline."""
        now = self._clock()
        if now - self._turned_at > OUTAGE_S:
            _log.warning("rescue_waits", away_s=round(now - self._turned_at, 1), wait_s=PATIENCE_S)
            self._patient_until = now + PATIENCE_S
        self._turned_at = now
        if now >= self._patient_until:
            self._take_back()
        if late := self._store.leases.expire_deadlines():
            _log.warning("jobs_past_deadline", count=late)

    def _take_back(self) -> None:
        if jobs := self._store.leases.rescue_expired():
            _log.warning("jobs_rescued", count=jobs)
        if uploads := self._store.uploads.rescue_expired():
            _log.warning("probes_rescued", count=uploads)
