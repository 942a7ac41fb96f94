from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
import structlog
from prometheus_client import CollectorRegistry
from tests.integration.orchestration.rows import change
from tests.servers import free_port

from dubline.orchestration import metrics
from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance.metrics import CACHE_S, RESCUED, BacklogCollector
from dubline.orchestration.maintenance.rescuer import GRACE_PERIOD_S, Rescuer
from dubline.orchestration.settings import DatabaseSettings, MetricsSettings

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory


class Clock:
    """A clock that the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def registry_of(store: Store, clock: Clock) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(BacklogCollector(store, clock))
    return registry


def test_the_backlog_is_the_predicted_time_of_what_waits_and_runs(store: Store, factory: JobFactory) -> None:
    for _ in range(3):
        factory.job()
    factory.probing(UploadKind.SPEECH)
    lease = store.leases.claim("worker", 60)
    assert lease is not None
    change(store, "UPDATE jobs SET work_s = 8, available_at = now() - interval '100 s'")
    change(store, "UPDATE jobs SET progress_percent = 75 WHERE state = 'running'")
    registry = registry_of(store, Clock())

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"dubline_{name}", labels)

    preset = lease.options.preset
    places = {"preset": preset, "tenant_class": "default"}
    assert value("queue_jobs", state="claimable", **places) == 2
    assert value("queue_jobs", state="running", **places) == 1
    assert value("queue_jobs", state="delayed", **places) == 0
    assert value("backlog_seconds", state="claimable", preset=preset) == 16
    assert value("backlog_seconds", state="running", preset=preset) == 2
    assert 100 <= (value("queue_oldest_seconds", **places) or 0) < 200
    assert (value("open_jobs"), value("queue_probes")) == (3, 1)
    assert (value("stored_bytes") or 0) > 0
    assert value("outbox_oldest_seconds") is not None


def test_jobs_of_limited_tenants_are_a_class_of_their_own(store: Store, factory: JobFactory) -> None:
    factory.job()
    change(store, "UPDATE jobs SET work_s = 8")
    change(store, "UPDATE tenants SET running_jobs = 1 WHERE name IN (SELECT tenant FROM jobs)")
    registry = registry_of(store, Clock())
    places = {"state": "claimable", "preset": "base"}
    for tenant_class, jobs in (("default", 0), ("limited", 1)):
        labels = places | {"tenant_class": tenant_class}
        assert registry.get_sample_value("dubline_queue_jobs", labels) == jobs
    assert registry.get_sample_value("dubline_backlog_seconds", places) == 8


def test_waiting_probes_and_quarantined_workers_are_counted(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    change(store, "UPDATE uploads SET probe_after = now() - interval '60 s' WHERE state = 'probing'")
    for worker in ("host:1/2", "host:1/2", "host:1/2", "host:3/4"):
        store.workers.failed(worker)
    store.workers.quarantine("host:1/2")
    registry = registry_of(store, Clock())
    assert 60 <= (registry.get_sample_value("dubline_queue_probes_oldest_seconds") or 0) < 120
    assert registry.get_sample_value("dubline_workers_quarantined") == 1


def test_a_worker_that_is_gone_since_its_self_test_is_not_quarantined(store: Store) -> None:
    for worker in ("host:1/2", "gone:3/4"):
        store.workers.failed(worker)
        store.workers.begin_test(worker)
    # A quarantine ends after ten minutes at most, and a self-test after five.
    change(store, "UPDATE workers SET seen_at = now() - interval '16 min' WHERE name LIKE 'host%'")
    change(store, "UPDATE workers SET seen_at = now() - interval '2 h' WHERE name LIKE 'gone%'")
    assert registry_of(store, Clock()).get_sample_value("dubline_workers_quarantined") == 1


def test_scrapes_within_the_cache_time_read_the_database_once(store: Store, factory: JobFactory) -> None:
    clock = Clock()
    registry = registry_of(store, clock)
    assert registry.get_sample_value("dubline_open_jobs") == 0
    factory.job()
    clock.now_s = CACHE_S - 0.1
    assert registry.get_sample_value("dubline_open_jobs") == 0
    clock.now_s = CACHE_S
    assert registry.get_sample_value("dubline_open_jobs") == 1


def test_without_the_database_the_values_are_absent() -> None:
    gone = DatabaseSettings.model_validate({"url": "postgresql+psycopg://postgres@127.0.0.1:1/gone"})
    with Store.connect(gone) as store:
        registry = registry_of(store, Clock())
        assert list(registry.collect()) == []


def test_rescued_leases_are_counted(store: Store, factory: JobFactory) -> None:
    factory.job()
    assert store.leases.claim("worker", 60) is not None
    change(store, "UPDATE jobs SET lease_expires_at = now() - interval '1 s'")
    clock = Clock()
    rescuer = Rescuer(store, clock)
    before = RESCUED.labels("job")._value.get()
    for _ in range(4):
        clock.now_s += GRACE_PERIOD_S / 3
        rescuer.run()
    assert RESCUED.labels("job")._value.get() == before + 1


def test_the_port_publishes_metrics_until_the_block_ends() -> None:
    settings = MetricsSettings(port=free_port())
    with metrics.published(settings):
        body = urlopen(f"http://127.0.0.1:{settings.port}/metrics", timeout=60).read().decode()
        assert "# TYPE dubline_leases_rescued_total counter" in body
        assert all(f'dubline_leases_rescued_total{{kind="{kind}"}}' in body for kind in ("job", "share", "upload"))
        with structlog.testing.capture_logs() as logs, metrics.published(settings):
            pass
        assert [event["event"] for event in logs] == ["metrics_not_published"]
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{settings.port}/metrics", timeout=10)
