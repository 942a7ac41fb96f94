"""The reconciler: notifies workers again of rows that are still unclaimed, and sums up the work that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Notifier

_log = structlog.get_logger(__name__)


def reconcile(store: Store, notifier: Notifier) -> None:
    """Send notifications for rows whose first one was lost, or whose retry delay has ended.

    Raises:
        BrokerUnavailableError: the next run tries again.
    """
    store.predictions.sum_up()
    counts, uploads = store.jobs.queued_counts(), store.uploads.waiting_count()
    renderers = notifier.notify_renderers(counts.claimable, top_up=True)
    probers = notifier.notify_probers(uploads, top_up=True)
    if renderers or probers:
        _log.info(
            "workers_notified",
            renderers=renderers,
            probers=probers,
            claimable=counts.claimable,
            oldest_claimable_s=round(counts.oldest_claimable_s, 1),
            uploads_waiting=uploads,
        )
