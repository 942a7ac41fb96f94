"""The rescuer: releases work of lost workers and fails jobs past their deadline. Uses the database only."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.maintenance.metrics import OVERDUE, RESCUED

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.database.store import Store

#: A longer time between two runs means that the database or this process was unavailable.
OUTAGE_S: Final = 5.0
#: Two heartbeats and a connection: live workers renew their leases within this time after an outage.
GRACE_PERIOD_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Rescuer:
    """Rescues expired leases, except shortly after an outage, during which no worker could renew its lease.

    A process that has just started does not know whether there was an outage, so it also waits.

    Args:
        store: the rows.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._last_run_s = clock()
        self._grace_until_s = self._last_run_s + GRACE_PERIOD_S

    def run(self) -> None:
        """Release jobs and uploads whose lease expired, fail jobs past their deadline, refund what never ran."""
        now = self._clock()
        if now - self._last_run_s > OUTAGE_S:
            _log.warning("rescue_postponed", outage_s=round(now - self._last_run_s, 1), wait_s=GRACE_PERIOD_S)
            self._grace_until_s = now + GRACE_PERIOD_S
        self._last_run_s = now
        if now >= self._grace_until_s:
            self._rescue()
        if late := self._store.leases.expire_deadlines():
            OVERDUE.inc(late)
            _log.warning("jobs_past_deadline", count=late)
        if moved := self._store.jobs.refund():
            _log.info("jobs_moved_forward", count=moved)

    def _rescue(self) -> None:
        if jobs := self._store.leases.rescue_expired():
            RESCUED.labels("job").inc(jobs)
            _log.warning("jobs_rescued", count=jobs)
        if shares := self._store.shares.end_expired():
            RESCUED.labels("share").inc(shares)
            _log.warning("shares_lost", count=shares)
        if uploads := self._store.uploads.rescue_expired():
            RESCUED.labels("upload").inc(uploads)
            _log.warning("probes_rescued", count=uploads)
