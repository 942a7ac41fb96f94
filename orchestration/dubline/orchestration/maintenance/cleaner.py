"""The janitor: ends what was kept long enough, and removes from the bucket what no row needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects

#: Most objects in one request, and most rows in one transaction.
LIMIT: Final = 1000

_log = structlog.get_logger(__name__)


def expire(store: Store) -> int:
    """Doom the objects whose retention is over; return how many rows that were."""
    expired = 0
    while found := store.deletions.expire(LIMIT):
        expired += found
    if expired:
        _log.info("retention_ended", count=expired)
    return expired


def clear(store: Store, objects: Objects) -> int:
    """Remove the doomed objects; return how many.

    A row that dooms an object stays until the object is gone, so nothing is forgotten by a kill or an outage.

    Raises:
        StorageUnavailableError: the rest waits for the next turn.
    """
    removed = 0
    while keys := store.deletions.doomed(LIMIT):
        gone = objects.delete_many(keys)
        store.deletions.removed(gone)
        removed += len(gone)
        if len(gone) < len(keys):
            _log.warning("objects_not_removed", count=len(keys) - len(gone))
            store.deletions.postpone(set(keys) - gone)
            break
    if removed:
        _log.info("objects_removed", count=removed)
    return removed
