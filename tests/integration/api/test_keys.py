"""Keys, usage and the audit log over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.testclient import TestClient

from dubline.api import bad_keys, server
from dubline.api.app import create_app
from dubline.orchestration.database.store.accounts.keys import Caller, Keys
from dubline.orchestration.domain.keys import Scope
from dubline.orchestration.settings import ApiSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.api.conftest import Prober

    from dubline.api.services import Services


@pytest.fixture
def admin(services: Services) -> Iterator[TestClient]:
    secret = services.store.keys.issue("acme", set(Scope)).secret
    with TestClient(create_app(services), headers=bearer(secret)) as client:
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_an_admin_creates_rotates_and_revokes_keys(services: Services, admin: TestClient) -> None:
    created = admin.post("/v1/keys", json={"scopes": ["read"], "expires_s": 60}).json()
    assert services.store.keys.authenticate(created["secret"]) is not None
    rotated = admin.post(f"/v1/keys/{created['id']}/rotate", json={"overlap_s": 0}).json()
    assert services.store.keys.authenticate(created["secret"]) is None
    assert admin.delete(f"/v1/keys/{rotated['id']}").status_code == 204
    assert services.store.keys.authenticate(rotated["secret"]) is None
    listed = admin.get("/v1/keys").json()["data"]
    assert "secret" not in str(listed)
    assert rotated["id"] not in [key["id"] for key in listed]


def test_only_a_key_with_the_scope_scaling_rotates_one_that_has_it(
    services: Services, admin: TestClient, anonymous: TestClient
) -> None:
    keys = services.store.keys
    scaling = keys.issue("acme", {Scope.SCALING})
    tenants = bearer(keys.issue("acme", {Scope.ADMIN}).secret)
    path = f"/v1/keys/{scaling.key.id}/rotate"
    refused = anonymous.post(path, json={}, headers=tenants)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "operator" in refused.json()["detail"]
    assert admin.post(path, json={}).status_code == 201
    assert anonymous.delete(f"/v1/keys/{scaling.key.id}", headers=tenants).status_code == 204


def test_the_audit_log_names_the_key_that_did_it(admin: TestClient, stranger: TestClient) -> None:
    created = admin.post("/v1/keys", json={}).json()
    first = admin.get("/v1/audit", params={"limit": 2}).json()
    second = admin.get("/v1/audit", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert second["next_cursor"] is None
    (entry,) = second["data"]
    assert (entry["action"], entry["subject"]) == ("create_key", created["id"])
    assert entry["actor"].startswith("key:")
    assert "globex" not in str(first)
    assert stranger.get("/v1/audit").status_code == 403
    assert admin.get("/v1/audit", params={"cursor": "AAAA"}).status_code == 422


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        (Scope.READ, "GET", "/v1/uploads/0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11"),
        (Scope.READ, "GET", "/v1/usage"),
        (Scope.SUBMIT, "POST", "/v1/jobs"),
        (Scope.SUBMIT, "POST", "/v1/jobs/0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11/cancel"),
        (Scope.DELETE, "DELETE", "/v1/jobs/0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11"),
        (Scope.ADMIN, "GET", "/v1/keys"),
        (Scope.ADMIN, "GET", "/v1/audit"),
        (Scope.ADMIN, "POST", "/v1/keys"),
        (Scope.ADMIN, "DELETE", "/v1/keys/0123456789ab"),
        (Scope.SCALING, "GET", "/v1/scaling/default"),
    ],
)
def test_a_request_needs_its_scope_and_no_other(
    services: Services, anonymous: TestClient, scope: Scope, method: str, path: str
) -> None:
    keys = services.store.keys
    enough, others = keys.issue("acme", {scope}).secret, keys.issue("acme", set(Scope) - {scope}).secret
    assert anonymous.request(method, path, headers=bearer(enough)).status_code not in {401, 403, 500}
    refused = anonymous.request(method, path, headers=bearer(others))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_polls_with_one_key_cause_one_lookup(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    original = Keys.authenticate

    def authenticate(keys: Keys, secret: str) -> Caller | None:
        looked_up.append(secret)
        return original(keys, secret)

    monkeypatch.setattr(Keys, "authenticate", authenticate)
    assert {client.get("/v1/usage").status_code for _ in range(5)} == {200}
    assert len(looked_up) == 1


def test_unknown_keys_from_one_address_are_throttled(
    services: Services, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine takes longer for the requests than the limit takes to permit one more.
    refill_s = bad_keys.REFILL_S
    monkeypatch.setattr(bad_keys, "REFILL_S", 3600.0)
    with TestClient(create_app(services)) as client:
        assert client.get("/v1/usage", headers=bearer(key)).status_code == 200
        statuses = [client.get("/v1/usage", headers=bearer(f"guess-{n}")).status_code for n in range(bad_keys.BURST)]
        assert set(statuses) == {401}
        refused = client.get("/v1/usage", headers=bearer("another guess"))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_bad_keys")
        assert refused.headers["Retry-After"] == f"{refill_s:.0f}"
        assert client.get("/v1/usage", headers=bearer(key)).status_code == 200


@pytest.mark.parametrize(("proxies", "status"), [((), 429), (("10.0.0.0/8",), 200), (("10.1.2.4", "fd00::/8"), 429)])
def test_clients_behind_a_trusted_proxy_are_throttled_each_by_itself(
    services: Services, proxies: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_keys, "REFILL_S", 3600.0)
    # A key that this process has not seen, as all of them are after its start.
    key = services.store.keys.create("acme")
    config = uvicorn.Config(create_app(services), **server.options(ApiSettings(trusted_proxies=proxies)))
    config.load()
    with TestClient(config.loaded_app, client=("10.1.2.3", 5000)) as client:
        for number in range(bad_keys.BURST):
            client.get("/v1/usage", headers=bearer(f"guess-{number}") | {"X-Forwarded-For": "203.0.113.1"})
        found = client.get("/v1/usage", headers=bearer(key) | {"X-Forwarded-For": "203.0.113.2"})
        assert found.status_code == status


def test_usage_is_returned_by_day_and_preset(client: TestClient, prober: Prober) -> None:
    body = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    job = client.post("/v1/jobs", json=body).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")
    client.delete(f"/v1/jobs/{job['id']}")
    (row,) = client.get("/v1/usage").json()["data"]
    assert (row["preset"], row["jobs"], row["cancelled"]) == ("base", 1, 1)
    assert client.get("/v1/usage", params={"first": "2026-01-02", "last": "2026-01-01"}).status_code == 422
    assert client.get("/v1/usage", params={"last": "0001-01-01"}).status_code == 200


@pytest.mark.parametrize(("first", "status"), [("2026-01-01", 422), ("2026-01-02", 200), ("2027-01-02", 200)])
def test_a_period_of_usage_has_at_most_a_year(client: TestClient, first: str, status: int) -> None:
    assert client.get("/v1/usage", params={"first": first, "last": "2027-01-02"}).status_code == status
