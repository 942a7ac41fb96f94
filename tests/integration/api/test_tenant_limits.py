from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dubline.api import key_cache

if TYPE_CHECKING:
    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Prober

    from dubline.api.services import Services

PORTRAIT = {"kind": "portrait", "content_type": "image/png", "size_bytes": 100}
SPEECH = {"kind": "speech", "content_type": "audio/wav", "size_bytes": 100}


@pytest.fixture(autouse=True)
def _fresh_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_cache, "STALE_S", 0)


def test_every_response_states_the_rate_and_what_remains(client: TestClient) -> None:
    first, second = client.get("/v1/limits"), client.get("/v1/jobs/nonsense")
    assert first.headers["RateLimit-Policy"] == second.headers["RateLimit-Policy"] == '"requests";q=1000;w=10'
    assert first.headers["RateLimit"] == '"requests";r=999;t=1'
    assert second.headers["RateLimit"].startswith('"requests";r=99')


def test_too_many_requests_of_a_tenant_are_refused_until_later(
    client: TestClient, stranger: TestClient, services: Services, tenant: str
) -> None:
    services.store.tenants.set_limits(tenant, {"requests_per_s": 0.01})
    assert client.get("/v1/limits").headers["RateLimit"] == '"requests";r=0;t=100'
    refused = client.post("/v1/uploads", json=SPEECH)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 90 <= int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["RateLimit-Policy"] == '"requests";q=1;w=100'
    assert stranger.get("/v1/limits").status_code == 200


def test_a_long_poll_counts_as_one_request(client: TestClient, services: Services, prober: Prober, tenant: str) -> None:
    job = client.post(
        "/v1/jobs", json={"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    ).json()
    services.store.tenants.set_limits(tenant, {"requests_per_s": 0.02})
    # It looks at the database several times.
    polled = client.get(f"/v1/jobs/{job['id']}?wait_s=1")
    assert (polled.status_code, polled.headers["RateLimit"]) == (200, '"requests";r=0;t=50')


def test_jobs_beyond_the_quota_of_a_tenant_are_refused(
    client: TestClient, services: Services, prober: Prober, tenant: str
) -> None:
    services.store.tenants.set_limits(tenant, {"queued_jobs": 2})
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    assert client.post("/v1/batches", json={"jobs": [row] * 2}).status_code == 201
    for refused in (client.post("/v1/jobs", json=row), client.post("/v1/batches", json={"jobs": [row]})):
        assert (refused.status_code, refused.json()["code"]) == (409, "quota_exceeded")
        assert refused.headers["Retry-After"] == "60"
        assert "may have 2" in refused.json()["detail"]
    limits = client.get("/v1/limits").json()
    assert (limits["queued_jobs"], limits["held"]) == (2, {"jobs": 2, "speech_s": 5.0, "stored_bytes": 20})


def test_seconds_beyond_the_quota_of_a_tenant_are_refused(
    client: TestClient, services: Services, prober: Prober, tenant: str
) -> None:
    services.store.tenants.set_limits(tenant, {"queued_s": 6})
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    refused = client.post("/v1/batches", json={"jobs": [row] * 3})
    assert (refused.json()["code"], "Retry-After" in refused.headers) == ("quota_exceeded", False)
    assert client.post("/v1/batches", json={"jobs": [row] * 2}).status_code == 201


def test_bytes_beyond_the_quota_of_a_tenant_are_refused(client: TestClient, services: Services, tenant: str) -> None:
    services.store.tenants.set_limits(tenant, {"stored_bytes": 150})
    first = client.post("/v1/uploads", json=SPEECH)
    assert client.post("/v1/uploads", json=SPEECH).json()["code"] == "quota_exceeded"
    assert client.delete(f"/v1/uploads/{first.json()['id']}").status_code < 300
    assert client.post("/v1/uploads", json=SPEECH).status_code == 201


def test_the_size_of_a_file_is_limited_for_a_tenant(client: TestClient, services: Services, tenant: str) -> None:
    services.store.tenants.set_limits(tenant, {"upload_bytes": 99})
    for body in (PORTRAIT, SPEECH):
        refused = client.post("/v1/uploads", json=body)
        assert (refused.status_code, refused.json()["code"]) == (413, "upload_too_large")
    services.store.tenants.set_limits(tenant, {"upload_bytes": 300_000_000})
    limits = client.get("/v1/limits").json()
    assert (limits["speech_bytes"], limits["portrait_bytes"]) == (300_000_000, 30_000_000)
