"""A worker claims jobs of its presets only, and no job waits for a worker that would not claim it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change, column

from dubline.orchestration.database.store.attempts.claim import claim_of
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.jobs import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

KEEP_S = 600.0
TINY = frozenset({"tiny"})


def claimed(store: Store, worker: str, *presets: str) -> Lease:
    lease = store.leases.claim(worker, KEEP_S, presets=presets)
    assert lease is not None
    return lease


def send(factory: JobFactory, preset: str, count: int = 1) -> None:
    factory.store.batches.insert(factory.tenant, [factory.new(preset=preset) for _ in range(count)], None, "hash")


def test_a_worker_claims_jobs_of_its_presets_only(store: Store, factory: JobFactory) -> None:
    send(factory, "base", 2)
    send(factory, "tiny")
    assert claimed(store, "one", "tiny").options.preset == "tiny"
    assert store.leases.claim("one", KEEP_S, presets=["tiny"]) is None
    assert claimed(store, "two", "base", "tiny").options.preset == "base"
    assert column(store, "SELECT presets FROM workers ORDER BY name") == [["tiny"], ["base", "tiny"]]


def test_a_retried_job_waits_for_a_worker_of_its_preset(store: Store, factory: JobFactory) -> None:
    send(factory, "base")
    store.leases.retry(claimed(store, "one", "base"), Cause.TRANSIENT, "x", "y", 0)
    assert store.leases.claim("two", KEEP_S, presets=["tiny"]) is None
    assert claimed(store, "two", "base", "tiny").attempt == 2


def test_no_job_waits_for_a_worker_of_other_presets(store: Store, factory: JobFactory) -> None:
    store.leases.claim("other", KEEP_S, presets=["base"])
    send(factory, "tiny")
    first = claimed(store, "one", "tiny")
    store.leases.retry(first, Cause.DEFECT, "x", "y", 0)
    # `other` is alive and did not fail the job, but it never claims it.
    again = claimed(store, "one", "tiny")
    assert again.job_id == first.job_id
    assert again.alone


def test_a_tenant_with_many_workers_is_passed_over_by_preset(store: Store, factory: JobFactory) -> None:
    other = JobFactory(store, "other")
    send(factory, "tiny", 4)
    claimed(store, "one", "tiny")
    send(other, "base")
    change(store, "UPDATE jobs SET order_key = order_key + 1e6 WHERE tenant = 'other'")
    # The other tenant waits, but not for a worker of this preset.
    assert claimed(store, "two", "tiny").tenant == "acme"
    assert claimed(store, "three", "base", "tiny").tenant == "other"


@pytest.mark.parametrize("state", ["queued", "retrying"])
def test_a_claim_does_not_read_jobs_of_other_presets(store: Store, factory: JobFactory, state: str) -> None:
    send(factory, "base", 500)
    if state == "retrying":
        change(store, "UPDATE jobs SET state = 'retrying', attempt_count = 1, started_at = now()")
    # No job of the worker's preset is known to the statistics.
    change(store, "ANALYZE jobs")
    send(factory, "tiny")
    values = {"token": uuid4(), "worker": "one", "worker_name": "one", "pool": "default", "held": "", "lease_s": KEEP_S}
    statement = f"EXPLAIN (ANALYZE, FORMAT JSON) {claim_of(TINY)}"
    with transaction(store._engine) as session:
        explained = session.connection().exec_driver_sql(statement, values).scalar_one()
    read = [
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes(explained[0]["Plan"])
        if node.get("Relation Name") == "jobs"
    ]
    assert 0 < max(read) < 20


def test_the_name_of_a_preset_becomes_no_other_text_of_a_statement() -> None:
    with pytest.raises(ValueError, match="no name of a preset"):
        claim_of(frozenset({"tiny'; --"}))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def test_the_server_plans_the_claim_of_a_worker_once(store: Store, factory: JobFactory) -> None:
    send(factory, "base", 20)
    values = {"worker": "one:1/2", "worker_name": "one:1", "pool": "default", "held": "", "lease_s": KEEP_S}
    url = store._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        statement = claim_of(TINY | {"base"})
        for _ in range(20):
            connection.execute(statement, values | {"token": uuid4()}, prepare=True)
        plans = "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%served (preset)%'"
        assert connection.execute(plans).fetchall() == [(15,)]
