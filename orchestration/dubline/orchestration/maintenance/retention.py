"""Retention: marks objects for deletion once their retention period has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

#: Most rows in one transaction.
LIMIT: Final = 1000

_log = structlog.get_logger(__name__)


def expire(store: Store) -> int:
    """Mark the objects of expired rows for deletion, prune events and workers; return the number of expired rows."""
    expired = store.deletions.expire(LIMIT)
    pruned = 0
    while found := store.events.prune(LIMIT):
        pruned += found
    if forgotten := store.workers.forget():
        _log.info("workers_forgotten", count=forgotten)
    if expired or pruned:
        _log.info("retention_ended", count=expired, events=pruned)
    return expired
