from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from starlette.testclient import TestClient

from dubline.api.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.api.services import Services

CONSENT = {
    "statement": "I agree.\nSigned in Berlin.",
    "subject": "Ada Example",
    "obtained_at": "2026-01-31T12:00:00Z",
}


def declaration(kind: str = "portrait", **fields: object) -> dict[str, Any]:
    return {"kind": kind, "content_type": "image/png" if kind == "portrait" else "audio/wav", "size_bytes": 10} | fields


@pytest.fixture
def strict(services: Services, key: str) -> Iterator[TestClient]:
    """A client of a service whose operator requires consent."""
    limits = services.limits.model_copy(update={"require_consent": True})
    app = create_app(type(services)(store=services.store, objects=services.objects, limits=limits))
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def test_consent_is_stored_and_shown_to_its_tenant_only(client: TestClient, stranger: TestClient) -> None:
    created = client.post("/v1/uploads", json=declaration(consent=CONSENT))
    assert created.status_code == 201
    path = created.headers["location"]
    assert client.get(path).json()["consent"] == CONSENT
    assert client.get("/v1/uploads").json()["data"][0]["consent"] == CONSENT
    assert stranger.get(path).status_code == 404
    assert "Ada" not in stranger.get("/v1/uploads").text


def test_a_portrait_without_consent_is_accepted_by_default(client: TestClient) -> None:
    assert client.post("/v1/uploads", json=declaration()).json()["consent"] is None
    assert client.get("/v1/limits").json()["consent_required"] is False


def test_a_portrait_without_consent_is_refused_if_it_is_required(strict: TestClient) -> None:
    refused = strict.post("/v1/uploads", json=declaration())
    assert (refused.status_code, refused.json()["code"]) == (422, "consent_required")
    assert strict.post("/v1/uploads", json=declaration(consent=CONSENT)).status_code == 201
    assert strict.post("/v1/uploads", json=declaration("speech")).status_code == 201
    assert strict.get("/v1/limits").json()["consent_required"] is True


@pytest.mark.parametrize(
    "consent",
    [
        {},
        CONSENT | {"statement": ""},
        CONSENT | {"statement": " \n"},
        CONSENT | {"statement": "x" * 2001},
        CONSENT | {"statement": "NUL \x00"},
        CONSENT | {"subject": "x" * 201},
        CONSENT | {"subject": "two\nlines"},
        CONSENT | {"obtained_at": "2026-01-31T12:00:00"},
        CONSENT | {"obtained_at": "yesterday"},
        CONSENT | {"obtained_at": "2026"},
        CONSENT | {"obtained_at": 2026},
        CONSENT | {"obtained_at": "0001-01-01T00:00:00+14:00"},
        CONSENT | {"obtained_at": "9999-12-31T23:59:59-14:00"},
        CONSENT | {"more": 1},
    ],
)
def test_consent_that_is_incomplete_or_too_long_is_refused(client: TestClient, consent: dict[str, object]) -> None:
    refused = client.post("/v1/uploads", json=declaration(consent=consent))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_consent_belongs_to_portraits(client: TestClient) -> None:
    refused = client.post("/v1/uploads", json=declaration("speech", consent=CONSENT))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_consent_is_in_no_log_event(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as events:
        client.post("/v1/uploads", json=declaration(consent=CONSENT))
        client.post("/v1/uploads", json=declaration(consent=CONSENT | {"obtained_at": "Ada Example"}))
    logged = f"{events} {capfd.readouterr()}"
    assert len(events) >= 2
    assert "Ada" not in logged
    assert "I agree" not in logged


def test_a_repeated_declaration_with_other_consent_is_refused(client: TestClient) -> None:
    key = {"Idempotency-Key": "one"}
    assert client.post("/v1/uploads", json=declaration(consent=CONSENT), headers=key).status_code == 201
    other = client.post("/v1/uploads", json=declaration(consent=CONSENT | {"subject": "Ben"}), headers=key)
    assert other.json()["code"] == "idempotency_key_reused"
