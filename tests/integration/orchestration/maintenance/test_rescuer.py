from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.maintenance.rescuer import OUTAGE_S, PATIENCE_S, Rescue

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

EXPIRED_S = -1.0


class Clock:
    """Stands until it is told to move."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_was_lost_is_taken_back_at_the_next_turn(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.claim("lost", EXPIRED_S)
    Rescue(store, Clock()).turn()
    assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING


def test_after_an_outage_workers_have_time_to_renew_what_ran_out_meanwhile(store: Store, factory: JobFactory) -> None:
    alive, dead = factory.job(), factory.job()
    clock = Clock()
    rescue = Rescue(store, clock)
    leases = [store.leases.claim(worker, EXPIRED_S) for worker in ("one", "two")]
    held = next(lease for lease in leases if lease is not None and lease.job_id == alive.id)
    clock.now_s += 3 * OUTAGE_S
    back = clock.now_s
    rescue.turn()
    store.leases.renew(held, 60)
    while clock.now_s < back + PATIENCE_S:
        assert store.jobs.get(dead.tenant, dead.id).state is JobState.RUNNING
        clock.now_s += 1
        rescue.turn()
    assert store.jobs.get(dead.tenant, dead.id).state is JobState.RETRYING
    assert store.jobs.get(alive.tenant, alive.id).state is JobState.RUNNING
