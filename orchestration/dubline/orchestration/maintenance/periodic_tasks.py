"""What the control process does, how often, and under which locks."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Final

from dubline.orchestration.maintenance import cleaner, outbox_publisher
from dubline.orchestration.maintenance.rescuer import Rescue
from dubline.orchestration.maintenance.scheduler import Duty
from dubline.orchestration.maintenance.sweep import sweep_bucket

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Waker
    from dubline.orchestration.settings import ControlSettings
    from dubline.orchestration.storage.objects import Objects

#: The numbers above this one are ours in the database: "dub", and a byte.
LOCKS: Final = 0x64756200


def duties(store: Store, waker: Waker, objects: Objects, often: ControlSettings) -> tuple[Duty, ...]:
    """List everything that the control process does."""
    return (
        Duty(
            name="relay", lock=LOCKS + 1, period_s=often.relay_s, turn=partial(outbox_publisher.publish, store, waker)
        ),
        Duty(
            name="reconcile",
            lock=LOCKS + 2,
            period_s=often.reconcile_s,
            turn=partial(outbox_publisher.reconcile, store, waker),
        ),
        Duty(name="rescue", lock=LOCKS + 3, period_s=often.rescue_s, turn=Rescue(store).turn),
        Duty(name="expire", lock=LOCKS + 4, period_s=often.expire_s, turn=partial(cleaner.expire, store)),
        Duty(name="clear", lock=LOCKS + 5, period_s=often.janitor_s, turn=partial(cleaner.clear, store, objects)),
        Duty(
            name="sweep",
            lock=LOCKS + 6,
            period_s=often.sweep_s,
            # A process that is restarted every few minutes shall sweep now and then, but not at every start.
            delay_s=random.uniform(0, often.sweep_s),  # noqa: S311 - spreads load, guards nothing
            turn=partial(sweep_bucket, store, objects, often.orphan_age_s),
        ),
    )
