"""The control loop: takes work back from lost workers, and wakes workers for rows that nobody claimed.

Any number of these processes may run; a lock in the database lets one act at a time. Nothing is kept
between turns, so it may be killed at any moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from dubline.orchestration.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from threading import Event

    from dubline.orchestration.queue import Waker
    from dubline.orchestration.store import Store

_log = structlog.get_logger()


def run(store: Store, waker: Waker, period_s: float, stop: Event) -> None:
    """Take turns until told to stop.

    Args:
        store: the rows.
        waker: how workers are told to look.
        period_s: seconds between turns.
        stop: set to end the loop, at once while it waits.
    """
    _log.info("control_started", period_s=period_s)
    while not stop.is_set():
        try:
            take_turn(store, waker)
        except DatabaseUnavailableError as error:
            _log.warning("control_turn_missed", code=error.code, reason=repr(error.__cause__))
        stop.wait(period_s)
    _log.info("control_stopped")


def take_turn(store: Store, waker: Waker) -> bool:
    """Do one round of work, unless another control process is at it.

    Returns:
        Whether this process had the turn.
    """
    with store.control_turn() as mine:
        if mine:
            _rescue(store)
            _wake(store, waker)
        return mine


def _rescue(store: Store) -> None:
    jobs, uploads = store.leases.rescue_expired(), store.uploads.rescue_expired()
    if jobs:
        _log.warning("jobs_rescued", count=jobs)
    if uploads:
        _log.warning("probes_rescued", count=uploads)


def _wake(store: Store, waker: Waker) -> None:
    counts, uploads = store.jobs.queued_counts(), store.uploads.waiting_count()
    renderers = waker.wake_renderer(counts.claimable, top_up=True)
    probers = waker.wake_prober(uploads, top_up=True)
    if renderers or probers:
        _log.info(
            "workers_woken",
            renderers=renderers,
            probers=probers,
            claimable=counts.claimable,
            oldest_claimable_s=round(counts.oldest_claimable_s, 1),
            uploads_waiting=uploads,
        )
