from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.conftest import JobFactory
from tests.integration.orchestration.rows import change

from dubline.api import etas
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from dubline.api.services import Services

WORK_S = 1000.0


@pytest.fixture
def queue(services: Services, monkeypatch: pytest.MonkeyPatch) -> JobFactory:
    """A tenant whose jobs have 1,000 s of work each, and a queue that is read for each request."""
    monkeypatch.setattr(etas, "FRESH_S", -1.0)
    return JobFactory(services.store, "acme")


def send(services: Services, factory: JobFactory, count: int) -> str:
    batch, _ = services.store.batches.insert("acme", [factory.new() for _ in range(count)], None, "hash")
    change(services.store, "UPDATE jobs SET work_s = :work_s", work_s=WORK_S)
    return str(batch.id)


def seen(services: Services, *workers: str) -> None:
    for worker in workers:
        change(services.store, "INSERT INTO workers (name) VALUES (:name)", name=worker)


def test_a_batch_and_its_jobs_show_when_they_are_done(
    client: TestClient, services: Services, queue: JobFactory
) -> None:
    batch = send(services, queue, 4)
    assert client.get(f"/v1/batches/{batch}").json()["eta_s"] is None
    seen(services, "host:1")
    jobs = [one["id"] for one in client.get(f"/v1/batches/{batch}/jobs").json()["data"]]
    shown = [client.get(f"/v1/jobs/{job}").json() for job in jobs]
    assert [one["eta_s"] for one in shown] == pytest.approx([1000, 2000, 3000, 4000], rel=0.01)
    whole = client.get(f"/v1/batches/{batch}").json()
    assert (whole["eta_s"], whole["eta_error_s"]) == (shown[-1]["eta_s"], shown[-1]["eta_error_s"])
    assert whole["eta_error_s"] > 1000


def test_a_batch_that_runs_is_done_with_its_last_job(client: TestClient, services: Services, queue: JobFactory) -> None:
    batch = send(services, queue, 1)
    lease = services.store.leases.claim("host:1/2", 600)
    assert lease is not None
    services.store.leases.progress(lease, Stage.RENDERING, 75)
    assert client.get(f"/v1/batches/{batch}").json()["eta_s"] == pytest.approx(250, rel=0.01)
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert 0 <= shown["eta_s"] < 60
    assert shown["eta_error_s"] >= shown["eta_s"]
    services.store.leases.finish(lease, 1, 1.0)
    for path in (f"/v1/batches/{batch}", f"/v1/jobs/{lease.job_id}"):
        final = client.get(path).json()
        assert (final["eta_s"], final["eta_error_s"]) == (None, None)


def test_the_queue_is_read_once_for_many_requests(
    client: TestClient, services: Services, queue: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etas, "FRESH_S", 60.0)
    read, count = services.store.predictions.queue, []

    def counted() -> object:
        count.append(1)
        return read()

    monkeypatch.setattr(services.store.predictions, "queue", counted)
    batch = send(services, queue, 2)
    for _ in range(5):
        client.get(f"/v1/batches/{batch}")
    assert len(count) == 1
    # A queue that is not known at present is no error.
    monkeypatch.setattr(etas, "FRESH_S", -1.0)
    change(services.store, "UPDATE waiting_work SET jobs = -9")
    assert client.get(f"/v1/batches/{batch}").json()["eta_s"] is None
