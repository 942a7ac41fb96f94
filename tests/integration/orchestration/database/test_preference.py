"""A worker prefers jobs whose networks it holds, and no job and no tenant waits long for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change, column

from dubline.orchestration.domain.fairness import PREFERENCE_S
from dubline.orchestration.domain.jobs import Cause
from dubline.orchestration.domain.weights import held_name
from dubline.worker.executors.preference import Preference

if TYPE_CHECKING:
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

KEEP_S = 600.0
#: Time of a job, and of loading other networks.
JOB_S = 3.0
LOAD_S = 2.0
#: Three kinds of networks: two presets, one of them in two versions.
KINDS = [("tiny", None), ("tiny", "b" * 64), ("base", None)]
COUNT = 90


def send(store: Store, factory: JobFactory, count: int, kinds: list[tuple[str, str | None]]) -> list[UUID]:
    """Send jobs of alternating kinds, each of `JOB_S`; return their ids in order."""
    rows = [factory.new(preset=kinds[number % len(kinds)][0]) for number in range(count)]
    batch, _ = store.batches.insert(factory.tenant, rows, None, "hash")
    for number, (_, sha256) in enumerate(kinds):
        change(
            store,
            "UPDATE jobs SET weights_sha256 = :sha256 WHERE batch_id = :id AND position % :all = :number",
            sha256=sha256,
            id=batch.id,
            all=len(kinds),
            number=number,
        )
    change(
        store,
        "UPDATE jobs SET order_key = first.key + position * :job_s"
        " FROM (SELECT min(order_key) AS key FROM jobs WHERE batch_id = :id) AS first WHERE batch_id = :id",
        job_s=JOB_S,
        id=batch.id,
    )
    return column(store, "SELECT id FROM jobs WHERE batch_id = :id ORDER BY position", id=batch.id)


def claimed(store: Store, *held: str) -> Lease:
    lease = store.leases.claim("one", KEEP_S, held=held)
    assert lease is not None
    return lease


def kind_of(lease: Lease) -> str:
    return held_name(lease.options.preset, lease.weights and lease.weights.sha256)


def work(store: Store, count: int, *, prefers: bool) -> tuple[dict[UUID, float], int]:
    """Claim and finish all jobs by a worker that holds one kind of networks.

    Returns:
        The start of each job, and how often networks were loaded.
    """
    now_s, loads, holds, started = 0.0, 0, "", {}
    preference = Preference(held=lambda: (holds,), clock=lambda: now_s)
    for _ in range(count):
        lease = claimed(store, *(preference.names() if prefers else ()))
        if kind_of(lease) != holds:
            holds, loads, now_s = kind_of(lease), loads + 1, now_s + LOAD_S
        started[lease.job_id] = now_s
        store.leases.finish(lease, 1, 1.0)
        now_s += JOB_S
    return started, loads


def test_networks_are_loaded_rarely_and_no_job_waits_twice_as_long(store: Store, factory: JobFactory) -> None:
    send(store, factory, COUNT, KINDS)
    fair, fair_loads = work(store, COUNT, prefers=False)
    ids = send(store, factory, COUNT, KINDS)
    preferred, loads = work(store, COUNT, prefers=True)
    assert fair_loads == COUNT
    assert loads <= COUNT / 4
    assert preferred.keys() == set(ids)
    for job_id, fair_s in zip(ids, sorted(fair.values()), strict=True):
        assert preferred[job_id] <= max(2 * fair_s, fair_s + PREFERENCE_S + LOAD_S + JOB_S)


def test_a_job_of_another_tenant_is_passed_over_for_a_bounded_time(store: Store, factory: JobFactory) -> None:
    other = JobFactory(store, "other")
    send(store, factory, 50, [("tiny", None)])
    store.leases.finish(claimed(store, "tiny:"), 1, 1.0)
    send(store, other, 1, [("base", None)])
    tenants = []
    for _ in range(20):
        lease = claimed(store, "tiny:")
        store.leases.finish(lease, 1, 1.0)
        tenants.append(lease.tenant)
    # Its key is at most that of the job claimed last, so others are preferred up to `PREFERENCE_S` behind it.
    assert tenants.index("other") <= PREFERENCE_S / JOB_S + 1


def test_a_retried_job_is_preferred_by_the_same_rule(store: Store, factory: JobFactory) -> None:
    first, second = send(store, factory, 2, [("base", None), ("tiny", None)])
    lease = claimed(store)
    assert lease.job_id == first
    store.leases.retry(lease, Cause.TRANSIENT, "x", "y", 0)
    assert claimed(store, "tiny:").job_id == second
    assert claimed(store, "tiny:").job_id == first


def test_a_version_is_not_preferred_for_its_preset_alone(store: Store, factory: JobFactory) -> None:
    first, second = send(store, factory, 2, KINDS[:2])
    assert claimed(store, held_name("tiny", "c" * 64)).job_id == first
    assert claimed(store, held_name("tiny", "b" * 64)).job_id == second


@pytest.mark.parametrize("waits_s", [0.0, PREFERENCE_S - 1, PREFERENCE_S])
def test_one_claim_in_a_while_has_no_preference(waits_s: float) -> None:
    now_s = 100.0
    preference = Preference(held=lambda: ("tiny:",), clock=lambda: now_s)
    assert preference.names() == ()
    now_s += waits_s
    assert preference.names() == (() if waits_s >= PREFERENCE_S else ("tiny:",))
