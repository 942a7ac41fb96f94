from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from dubline.api.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.api.services import Services

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer \x7f" + "x" * 5_000, "Bearer ü"],
)
def test_a_request_without_a_known_key_is_rejected(anonymous: TestClient, authorization: str | None) -> None:
    offered = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    response = anonymous.get("/v1/jobs/00000000-0000-4000-8000-000000000000", headers=offered)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthorized"


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    missing, wrong_method = client.get("/v2/jobs"), client.delete("/v1/jobs")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_path")
    assert (wrong_method.status_code, wrong_method.json()["code"]) == (405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "POST"
    assert {missing.headers["content-type"], wrong_method.headers["content-type"]} == {PROBLEM}


@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/uploads/", "/v1/batches/?limit=1"])
def test_a_path_with_an_empty_id_is_not_redirected(client: TestClient, path: str) -> None:
    response = client.get(path, headers={"Host": "elsewhere.example"}, follow_redirects=False)
    assert (response.status_code, response.json()["code"]) == (404, "no_such_path")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"jobs": []}',
        b'{"jobs": [1]}',
        b'{"jobs": [{"portrait_upload_id": "\\u0000"}]}',
        b'{"jobs": NaN}',
        b"[" * 100_000,
        b'{"jobs": ' + b"9" * 10_000 + b"}",
    ],
)
def test_a_body_that_is_not_a_batch_is_a_problem(client: TestClient, body: bytes) -> None:
    response = client.post("/v1/batches", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["code"] == "invalid_request"


def test_a_body_with_another_content_type_is_a_problem(client: TestClient) -> None:
    response = client.post("/v1/batches", content=b'{"jobs": []}', headers={"Content-Type": "text/plain"})
    assert response.status_code == 422
    assert "application/json" in response.json()["detail"]


def test_a_body_over_the_limit_is_rejected_while_it_is_received(client: TestClient, services: Services) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(services.limits.body_bytes // 65_536 + 2):
            yield b" " * 65_536

    response = client.post("/v1/batches", content=endless(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"


@pytest.mark.parametrize("job_id", ["1", "not-a-uuid", "%00", "..%2f..%2fetc", "0" * 4_000])
def test_an_id_that_is_not_a_uuid_is_a_problem(client: TestClient, job_id: str) -> None:
    response = client.get(f"/v1/jobs/{job_id}")
    assert response.status_code in {404, 422}
    assert response.headers["content-type"] == PROBLEM


def test_every_response_has_the_id_of_its_request(client: TestClient) -> None:
    named = client.get("/health/live", headers={"X-Request-ID": "mine-1"})
    renamed = client.get("/v2", headers={"X-Request-ID": "no good\t" * 40})
    assert named.headers["x-request-id"] == "mine-1"
    assert renamed.headers["x-request-id"] == renamed.json()["request_id"] != "mine-1"


def test_each_request_is_logged_once_with_its_tenant(client: TestClient, tenant: str) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as events:
        client.get("/v1/jobs/00000000-0000-4000-8000-000000000000", headers={"X-Request-ID": "r1"})
    (event,) = [event for event in events if event["event"] == "request_answered"]
    assert (event["method"], event["status"], event["request_id"]) == ("GET", 404, "r1")
    assert event["tenant"] == tenant
    assert event["duration_ms"] >= 0


def test_an_unexpected_error_has_an_id_and_no_traceback(
    services: Services, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(services.store.jobs, "get", crash)
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        response = client.get("/v1/jobs/00000000-0000-4000-8000-000000000000")
    assert response.status_code == 500
    assert response.headers["content-type"] == PROBLEM
    content = response.json()
    assert content["code"] == "internal"
    assert content["request_id"] == response.headers["x-request-id"]
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient, anonymous: TestClient) -> None:
    def counted(route: str, code: str) -> float:
        labels = {"method": "GET", "route": route, "code": code}
        return REGISTRY.get_sample_value("dubline_http_request_duration_seconds_count", labels) or 0.0

    expected = [("/v1/jobs/{job_id}", "404"), ("/health/live", "200"), ("unrouted", "401")]
    before = [counted(*labels) for labels in expected]
    for n in range(2):
        client.get(f"/v1/jobs/00000000-0000-0000-0000-00000000000{n}")
    client.get("/health/live")
    anonymous.get("/v1/jobs/any")
    assert [counted(*labels) - old for labels, old in zip(expected, before, strict=True)] == [2, 1, 1]
