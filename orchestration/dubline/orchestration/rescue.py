"""Rescue: takes work back from lost workers, and ends jobs whose time is up. Needs only the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from dubline.orchestration.store import Store

_log = structlog.get_logger()


def rescue(store: Store) -> None:
    """Take back jobs and uploads whose lease expired, and fail jobs past their deadline."""
    if jobs := store.leases.rescue_expired():
        _log.warning("jobs_rescued", count=jobs)
    if uploads := store.uploads.rescue_expired():
        _log.warning("probes_rescued", count=uploads)
    if late := store.leases.expire_deadlines():
        _log.warning("jobs_past_deadline", count=late)
