from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change

from dubline.api.app import create_app
from dubline.orchestration.database.store import Store
from dubline.orchestration.demand import demands
from dubline.orchestration.domain.keys import Scope
from dubline.orchestration.maintenance.metrics import BacklogCollector
from dubline.orchestration.scaling.policy import Policy
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from dubline.api.services import Services

METRICS = Path(__file__).parents[3] / "docs" / "metrics.md"
LIMITS = {"cold_start_s": 60.0, "cooldown_s": 60.0, "start_limit_s": 120.0}
POOLS = (
    Policy(pool="spot", presets=frozenset({"base"}), price_per_hour=1.0, ceiling=1, target_s=100.0, **LIMITS),
    Policy(pool="l4", presets=frozenset({"base", "tiny"}), price_per_hour=4.0, ceiling=9, target_s=100.0, **LIMITS),
)


@pytest.fixture
def operator(services: Services) -> TestClient:
    """A client with a key of an autoscaler."""
    key = services.store.keys.issue("operator", {Scope.SCALING}).secret
    app = create_app(replace(services, pools=POOLS))
    return TestClient(app, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False)


@pytest.fixture
def queue(services: Services) -> JobFactory:
    """Six waiting jobs of each preset with 50 s of work, and one that each pool has rendered half."""
    factory = JobFactory(services.store, "acme")
    for preset in ("base", "tiny"):
        services.store.batches.insert("acme", [factory.new(preset=preset) for _ in range(7)], None, "hash")
    change(services.store, "UPDATE jobs SET work_s = 50")
    for pool in ("spot", "l4"):
        assert services.store.leases.claim(f"{pool}-0:1/2", 600, pool=pool, presets=["base"]) is not None
    change(services.store, "UPDATE jobs SET progress_percent = 50 WHERE state = 'running'")
    return factory


def of_prometheus(text: str, query: str) -> float:
    """Evaluate `sum(max by (state) (NAME{pool="POOL"}))` on the text of one process: each series is its maximum."""
    found = re.fullmatch(r'sum\(max by \(state\) \((\w+)\{pool="([^"]+)"\}\)\)', query)
    assert found is not None
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(one.value for one in samples if one.name == found[1] and one.labels["pool"] == found[2])


@pytest.mark.usefixtures("queue")
def test_a_pool_has_its_share_of_the_queue_and_what_it_runs(operator: TestClient) -> None:
    # Spot has room for 100 s, two of the five waiting jobs of its preset. Each pool has 25 s left of a running one.
    spot, other = (operator.get(f"/v1/scaling/{pool}").json() for pool in ("spot", "l4"))
    assert (spot["pool"], spot["running"], spot["jobs"]) == ("spot", 1, 3)
    assert spot["backlog_s"] == pytest.approx(100 + 25)
    assert other["backlog_s"] == pytest.approx(3 * 50 + 7 * 50 + 25)
    assert spot["error_s"] > 0


@pytest.mark.usefixtures("queue")
def test_keda_prometheus_and_the_decision_have_the_same_number(operator: TestClient, services: Services) -> None:
    registry = CollectorRegistry()
    registry.register(BacklogCollector(services.store, pools=POOLS))
    text = generate_latest(registry).decode()
    (documented,) = re.findall(r"`(sum\(max by \(state\) \(dubline_pool_backlog_seconds.*?)`", METRICS.read_text())
    for pool, demand in demands(services.store.predictions.workload(), POOLS).items():
        answer = operator.get(f"/v1/scaling/{pool}").json()["backlog_s"]
        assert answer == pytest.approx(demand.backlog_s)
        assert answer == pytest.approx(of_prometheus(text, documented.replace("POOL", pool)))


def test_an_empty_queue_is_zero_and_an_unknown_pool_is_404(operator: TestClient) -> None:
    assert operator.get("/v1/scaling/l4").json()["backlog_s"] == 0
    unknown = operator.get("/v1/scaling/h200")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert operator.get("/v1/scaling/NO").status_code == 422


def test_a_pool_outside_the_setting_has_what_its_workers_run(operator: TestClient, services: Services) -> None:
    services.store.leases.claim("h200-0:1/2", 600, pool="h200")
    assert operator.get("/v1/scaling/h200").json()["jobs"] == 0


def test_without_the_setting_the_pools_are_those_with_workers(services: Services, queue: JobFactory) -> None:
    found = demands(services.store.predictions.workload())
    assert set(found) == {"default", "l4", "spot"}
    assert sum(demand.waiting for demand in found.values()) == 12
    assert queue.tenant == "acme"


def test_a_number_that_is_not_known_is_503(operator: TestClient, services: Services, queue: JobFactory) -> None:
    # As before the migration that counts the jobs which waited before its triggers.
    change(services.store, "DELETE FROM waiting_work")
    services.store.jobs.cancel(queue.tenant, queue.job().id)
    services.store.leases.claim("l4-0:1/3", 600, pool="l4")
    refused = operator.get("/v1/scaling/l4")
    assert (refused.status_code, refused.json()["code"]) == (503, "backlog_unknown")
    registry = CollectorRegistry()
    registry.register(BacklogCollector(services.store))
    assert list(registry.collect()) == []


def test_without_the_database_the_answer_is_503(services: Services) -> None:
    gone = DatabaseSettings.model_validate({"url": "postgresql+psycopg://postgres@127.0.0.1:1/gone"})
    with Store.connect(gone) as store:
        client = TestClient(create_app(replace(services, store=store)), headers={"Authorization": "Bearer key"})
        refused = client.get("/v1/scaling/default")
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")


def test_no_tenant_creates_a_key_for_the_work_of_all(services: Services, anonymous: TestClient) -> None:
    admin = services.store.keys.issue("acme", {Scope.ADMIN}).secret
    headers = {"Authorization": f"Bearer {admin}"}
    assert anonymous.post("/v1/keys", json={"scopes": ["scaling"]}, headers=headers).status_code == 422
    assert anonymous.get("/v1/scaling/default", headers=headers).status_code == 403
