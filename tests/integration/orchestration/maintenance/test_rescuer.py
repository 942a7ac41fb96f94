from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.maintenance.rescuer import GRACE_PERIOD_S, OUTAGE_S, Rescuer

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.jobs import Job

EXPIRED_S = -1.0


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_expired_lease_is_rescued_at_the_next_run(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    rescuer = long_started(store, Clock())
    store.leases.claim("lost", EXPIRED_S)
    rescuer.run()
    assert store.jobs.get(job.tenant, job.id).state is JobState.RETRYING


def long_started(store: Store, clock: Clock) -> Rescuer:
    """Return a rescuer that has run every second since the end of its first grace period."""
    rescuer = Rescuer(store, clock)
    for _ in range(int(GRACE_PERIOD_S)):
        clock.now_s += 1
        rescuer.run()
    return rescuer


def test_a_new_process_gives_workers_time_to_renew_their_leases(store: Store, factory: JobFactory) -> None:
    renewed, lost = factory.job(), factory.job()
    leases = [store.leases.claim(worker, EXPIRED_S) for worker in ("one", "two")]
    clock = Clock()
    rescuer = Rescuer(store, clock)
    rescuer.run()
    for lease in leases:
        if lease is not None and lease.job_id == renewed.id:
            store.leases.renew(lease, 60)
    clock.now_s += GRACE_PERIOD_S / 2
    Rescuer(store, clock).run()
    assert states(store, renewed, lost) == [JobState.RUNNING, JobState.RUNNING]


def test_a_new_process_rescues_after_the_grace_period(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.claim("lost", EXPIRED_S)
    clock = Clock()
    long_started(store, clock)
    assert states(store, job) == [JobState.RETRYING]


def states(store: Store, *jobs: Job) -> list[JobState]:
    return [store.jobs.get(job.tenant, job.id).state for job in jobs]


def test_after_an_outage_workers_have_time_to_renew_their_leases(store: Store, factory: JobFactory) -> None:
    renewed, lost = factory.job(), factory.job()
    clock = Clock()
    rescuer = long_started(store, clock)
    leases = [store.leases.claim(worker, EXPIRED_S) for worker in ("one", "two")]
    held = next(lease for lease in leases if lease is not None and lease.job_id == renewed.id)
    clock.now_s += 3 * OUTAGE_S
    back = clock.now_s
    rescuer.run()
    store.leases.renew(held, 60)
    while clock.now_s < back + GRACE_PERIOD_S:
        assert store.jobs.get(lost.tenant, lost.id).state is JobState.RUNNING
        clock.now_s += 1
        rescuer.run()
    assert store.jobs.get(lost.tenant, lost.id).state is JobState.RETRYING
    assert store.jobs.get(renewed.tenant, renewed.id).state is JobState.RUNNING
