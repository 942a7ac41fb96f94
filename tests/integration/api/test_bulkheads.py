"""One tenant, or a bucket that does not respond, does not stop the requests of others."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio
import httpx2
import pytest
from sqlalchemy import text

from dubline.api import bulkhead, in_flight
from dubline.api.app import create_app
from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store import connections as connections_of_store
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.keys import Scope
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.api.conftest import Prober

    from dubline.api.services import Services
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings

#: More than the threads and the connections of one API process.
MANY: Final = 45
PORTRAIT: Final = {"kind": "portrait", "content_type": "image/png", "size_bytes": 10}


@pytest.fixture
def served(database: DatabaseSettings, services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Services whose requests wait for locks for longer than a busy machine needs for a few requests."""
    monkeypatch.setattr(connections_of_store, "SERVING_TIMEOUT_MS", 8000)
    with Store.serve(database) as store:
        yield replace(services, store=store)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and does not respond, until it is closed."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server


@asynccontextmanager
async def connected(services: Services) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(services))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api", timeout=60) as client:
        yield client


def bearer(services: Services, tenant: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {services.store.keys.create(tenant)}"}


def test_a_silent_bucket_delays_neither_readiness_nor_other_requests(
    served: Services, bucket: BucketSettings, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.storage.s3.READ_TIMEOUT_S", 60)
    monkeypatch.setattr(bulkhead, "WAIT_S", 0.1)
    settings = bucket.model_copy(update={"endpoint_url": f"http://127.0.0.1:{silent.getsockname()[1]}"})
    services = replace(served, objects=Objects(settings))
    headers = [bearer(services, f"tenant-{number}") for number in range(6)]
    responses: list[httpx2.Response] = []
    refused = anyio.Event()

    async def run() -> None:
        async with connected(services) as client:
            uploads = [
                (await client.post("/v1/uploads", json=PORTRAIT, headers=headers[number % 6])).json()["id"]
                for number in range(MANY)
            ]

            async def complete(number: int) -> None:
                path = f"/v1/uploads/{uploads[number]}/complete"
                responses.append(await client.post(path, headers=headers[number % 6]))
                if len(responses) == MANY - bulkhead.CALLS:
                    refused.set()

            async with anyio.create_task_group() as group:
                for number in range(MANY):
                    group.start_soon(complete, number)
                # Those that the bulkhead refuses are responded; those in it wait for the bucket.
                await refused.wait()
                assert (await client.get("/health/ready")).status_code == 200
                assert (await client.get(f"/v1/uploads/{uploads[0]}", headers=headers[0])).status_code == 200
                assert len(responses) == MANY - bulkhead.CALLS
                silent.close()

    anyio.run(run)
    codes = [response.json()["code"] for response in responses]
    assert (codes.count("busy"), codes.count("storage_unavailable")) == (MANY - bulkhead.CALLS, bulkhead.CALLS)
    assert all(response.status_code == 503 and "Retry-After" in response.headers for response in responses)


def test_a_locked_row_of_a_tenant_delays_no_other_tenant(served: Services, prober: Prober) -> None:
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    acme, globex = bearer(served, "acme"), bearer(served, "globex")
    responses: list[httpx2.Response] = []
    responded = anyio.Event()

    async def run() -> None:
        async with connected(served) as client:
            job_id = (await client.post("/v1/jobs", json=row, headers=acme)).json()["id"]

            async def cancel() -> None:
                responses.append(await client.post(f"/v1/jobs/{job_id}/cancel", headers=acme))
                responded.set()

            with transaction(served.store._engine) as session:
                session.execute(text("SELECT FROM jobs FOR UPDATE"))
                async with anyio.create_task_group() as group:
                    for _ in range(MANY):
                        group.start_soon(cancel)
                    await anyio.wait_all_tasks_blocked()
                    for path in ("/v1/jobs", "/v1/uploads", "/health/ready"):
                        assert (await client.get(path, headers=globex)).status_code == 200
                    assert not responses
                    await responded.wait()
                    session.rollback()

    anyio.run(run)
    codes = {response.status_code for response in responses}
    assert codes == {200, 503}
    assert {response.json()["code"] for response in responses if response.status_code == 503} == {"busy"}


def test_no_get_waits_for_a_locked_row(served: Services, prober: Prober) -> None:
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    headers = {"Authorization": f"Bearer {served.store.keys.issue('acme', set(Scope)).secret}"}

    async def run() -> None:
        async with connected(served) as client:
            batch = (await client.post("/v1/batches", json={"jobs": [row]}, headers=headers)).json()["id"]
            (job,) = (await client.get(f"/v1/batches/{batch}/jobs", headers=headers)).json()["data"]
            paths = [
                *("/v1/jobs", "/v1/batches", "/v1/uploads", "/v1/limits", "/v1/keys", "/v1/audit"),
                "/v1/usage?first=2026-01-01&last=2026-01-31",
                *(f"/v1/jobs/{job['id']}", f"/v1/batches/{batch}", f"/v1/batches/{batch}/jobs"),
                f"/v1/uploads/{row['speech_upload_id']}",
            ]
            with transaction(served.store._engine) as session:
                for table in ("tenants", "api_keys", "uploads", "batches", "jobs", "usage", "audit", "holdings"):
                    session.execute(text(f"SELECT FROM {table} FOR UPDATE"))
                for path in paths:
                    assert (await client.get(path, headers=headers)).status_code == 200, path

    anyio.run(run)


def test_long_polls_of_a_tenant_leave_slots_to_its_other_requests(
    served: Services, prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "WORKING", 1)
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    headers = bearer(served, "acme")
    responses: list[httpx2.Response] = []

    async def run() -> None:
        async with connected(served) as client:
            job_id = (await client.post("/v1/jobs", json=row, headers=headers)).json()["id"]

            async def poll() -> None:
                responses.append(await client.get(f"/v1/jobs/{job_id}?wait_s=30", headers=headers))

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(poll)
                await anyio.wait_all_tasks_blocked()
                assert (await client.post(f"/v1/jobs/{job_id}/cancel", headers=headers)).status_code == 200

    anyio.run(run)
    assert [response.json()["state"] for response in responses] == ["cancelled"] * 3
