from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.orchestration.rows import column

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

KEEP_S = 60.0


def test_an_attempt_and_its_worker_have_the_pool(store: Store, factory: JobFactory) -> None:
    for pool in ("l4", "h200"):
        factory.job()
        assert store.leases.claim(f"{pool}-host:1/2", KEEP_S, pool=pool) is not None
    assert sorted(column(store, "SELECT pool FROM attempts")) == ["h200", "l4"]
    assert column(store, "SELECT pool FROM workers WHERE name = 'l4-host:1'") == ["l4"]


def test_a_worker_that_returns_in_another_pool_is_counted_there(store: Store) -> None:
    store.leases.claim("host:1/2", KEEP_S, pool="l4")
    store.leases.claim("host:1/3", KEEP_S, pool="h200")
    assert column(store, "SELECT pool FROM workers") == ["h200"]


def test_a_worker_without_a_pool_is_in_the_default_one(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    store.leases.claim("host:1/2", KEEP_S)
    assert [attempt.pool for attempt in store.jobs.attempts("acme", job.id)] == ["default"]
    assert column(store, "SELECT pool FROM workers") == ["default"]
