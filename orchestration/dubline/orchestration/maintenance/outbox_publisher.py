"""The relay: tells workers of rows once these are committed, and again where nobody came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Waker

#: Most rows of the outbox that are published in one transaction.
PUBLISH_LIMIT: Final = 1000

_log = structlog.get_logger(__name__)


def publish(store: Store, waker: Waker) -> None:
    """Send wake-ups for what was written to the outbox; a row stays there until its wake-up is sent.

    Raises:
        BrokerUnavailableError: nothing of the last transaction is taken from the outbox.
    """
    while store.outbox.publish(waker.send, PUBLISH_LIMIT) == PUBLISH_LIMIT:
        pass


def reconcile(store: Store, waker: Waker) -> None:
    """Send wake-ups for rows that nobody claimed: their first ones were lost, or their pause is over.

    Raises:
        BrokerUnavailableError: the next turn tries again.
    """
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
