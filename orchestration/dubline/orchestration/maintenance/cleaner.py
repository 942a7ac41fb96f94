"""The cleaner: removes objects that are pending deletion from the bucket."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects

#: Most objects in one request, and most rows in one transaction.
LIMIT: Final = 1000
#: Longest run of the periodic task: a run that objects reach faster than it removes them would never end, and count as
#: a hanging one.
RUN_S: Final = 300.0

_log = structlog.get_logger(__name__)


def clean(store: Store, objects: Objects, limit_s: float = math.inf) -> int:
    """Remove the objects that are pending deletion; return their number.

    The row that marks an object is deleted after the object, so that a kill or an outage loses no mark.

    Args:
        store: the rows.
        objects: the bucket.
        limit_s: seconds after which the rest is left to the next run.

    Raises:
        StorageUnavailableError: the remaining objects are removed by a later run.
    """
    removed, end_s = 0, monotonic() + limit_s
    while keys := store.deletions.pending(LIMIT):
        gone = objects.delete_many(keys)
        store.deletions.removed(gone)
        removed += len(gone)
        if len(gone) < len(keys):
            _log.warning("objects_not_removed", count=len(keys) - len(gone))
            store.deletions.postpone(set(keys) - gone)
            break
        if monotonic() >= end_s:
            break
    if removed:
        _log.info("objects_removed", count=removed)
    return removed
