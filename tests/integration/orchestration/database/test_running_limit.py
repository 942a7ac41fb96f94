"""The limit on the jobs of a tenant that run at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import column

from dubline.orchestration.database.store.attempts.running_limit import release_excess

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

KEEP_S = 600.0


@pytest.fixture
def acme(store: Store) -> JobFactory:
    """A tenant with six jobs, of which two may run at once."""
    acme = JobFactory(store, "acme")
    for _ in range(6):
        acme.job()
    store.tenants.set_limits("acme", {"running_jobs": 2})
    return acme


def claimed_tenants(store: Store, count: int) -> list[str | None]:
    leases = [store.leases.claim(f"host-{number}:1/1", KEEP_S) for number in range(count)]
    return [lease and lease.tenant for lease in leases]


def test_a_tenant_at_its_limit_is_passed_over(store: Store, acme: JobFactory) -> None:
    other = JobFactory(store, "other")
    for _ in range(3):
        other.job()
    tenants = claimed_tenants(store, 6)
    assert (tenants.count(acme.tenant), tenants.count("other"), tenants.count(None)) == (2, 3, 1)


def test_a_finished_job_makes_room_for_the_next(store: Store, acme: JobFactory) -> None:
    first = store.leases.claim("host-1:1/1", KEEP_S)
    assert first is not None
    assert claimed_tenants(store, 2) == [acme.tenant, None]
    store.leases.finish(first, 1, 1.0)
    assert claimed_tenants(store, 2) == [acme.tenant, None]


def test_a_tenant_without_a_limit_may_use_every_worker(store: Store, acme: JobFactory) -> None:
    store.tenants.set_limits(acme.tenant, {"running_jobs": None})
    assert claimed_tenants(store, 7) == [acme.tenant] * 6 + [None]


@pytest.mark.usefixtures("acme")
def test_concurrent_claims_do_not_exceed_the_limit(store: Store) -> None:
    with ThreadPoolExecutor(6) as pool:
        leases = list(pool.map(lambda number: store.leases.claim(f"host-{number}:1/1", KEEP_S), range(6)))
    assert sum(lease is not None for lease in leases) == 2
    assert column(store, "SELECT count(*) FROM jobs WHERE state = 'running'") == [2]


def test_of_claims_that_did_not_see_each_other_the_excess_is_released(store: Store, acme: JobFactory) -> None:
    store.tenants.set_limits(acme.tenant, {"running_jobs": None})
    leases = [store.leases.claim(f"host-{number}:1/1", KEEP_S) for number in range(5)]
    store.tenants.set_limits(acme.tenant, {"running_jobs": 2})
    with ThreadPoolExecutor(5) as pool:
        released = list(pool.map(lambda lease: release_excess(store._engine, acme.tenant, lease.token, "host"), leases))
    assert released.count(True) == 3
    assert column(store, "SELECT state FROM jobs ORDER BY state") == ["queued"] * 4 + ["running"] * 2
