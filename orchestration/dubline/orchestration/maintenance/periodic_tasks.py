"""The list of periodic tasks, with their periods and locks."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING, Final

from dubline.orchestration.maintenance import cleaner, outbox_publisher, reconciler, retention
from dubline.orchestration.maintenance.rescuer import Rescuer
from dubline.orchestration.maintenance.scheduler import PeriodicTask
from dubline.orchestration.maintenance.sweep import sweep_bucket

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Notifier
    from dubline.orchestration.settings import MaintenanceSettings
    from dubline.orchestration.storage.objects import Objects

#: First number of our range of advisory locks: the letters "dub" and a byte.
LOCKS: Final = 0x64756200
#: Longest run of a task that works off all pages of a list; a restart loses nothing of it.
PAGES_LIMIT_S: Final = 3600.0


def periodic_tasks(
    store: Store, notifier: Notifier, objects: Objects, settings: MaintenanceSettings
) -> tuple[PeriodicTask, ...]:
    """List the tasks of the maintenance process. Lock numbers are shared between releases and never change."""
    return (
        PeriodicTask(
            name="publish",
            lock=LOCKS + 1,
            period_s=settings.publish_s,
            # Most of its runs, five in a second, find nothing: one round trip instead of seven.
            due=store.outbox.has_any,
            run=partial(outbox_publisher.publish, store, notifier),
        ),
        PeriodicTask(
            name="reconcile",
            lock=LOCKS + 2,
            period_s=settings.reconcile_s,
            run=partial(reconciler.reconcile, store, notifier),
        ),
        PeriodicTask(name="rescue", lock=LOCKS + 3, period_s=settings.rescue_s, run=Rescuer(store).run),
        PeriodicTask(
            name="expire",
            lock=LOCKS + 4,
            period_s=settings.expire_s,
            limit_s=PAGES_LIMIT_S,
            run=partial(retention.expire, store),
        ),
        PeriodicTask(
            name="clean",
            lock=LOCKS + 5,
            period_s=settings.clean_s,
            run=partial(cleaner.clean, store, objects, cleaner.RUN_S),
        ),
        PeriodicTask(
            name="sweep",
            lock=LOCKS + 6,
            period_s=settings.sweep_s,
            # A pass takes hours in a large bucket, and would begin again after a restart.
            limit_s=math.inf,
            # Random, so that a process which is restarted every few minutes still sweeps sometimes, but not each time.
            delay_s=random.uniform(0, settings.sweep_s),  # noqa: S311 - spreads load, no secret
            run=partial(sweep_bucket, store, objects, settings.orphan_age_s),
        ),
    )
