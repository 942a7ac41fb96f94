"""Idempotency keys of every request that creates something."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from httpx2 import Response
    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Prober, Renderer

PATHS = ["/v1/jobs", "/v1/batches", "/v1/uploads"]


@pytest.fixture
def bodies(prober: Prober) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """For each path a valid body and another one."""
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    upload = {"kind": "portrait", "content_type": "image/png", "size_bytes": 10}
    return {
        "/v1/jobs": (row, row | {"seed": 1}),
        "/v1/batches": ({"jobs": [row]}, {"jobs": [row, row]}),
        "/v1/uploads": (upload, upload | {"size_bytes": 11}),
    }


def post(client: TestClient, path: str, body: dict[str, Any], key: str) -> Response:
    response: Any = client.post(path, json=body, headers={"Idempotency-Key": key})
    return response


def total(client: TestClient, path: str) -> int:
    return len(client.get(path, params={"limit": 500}).json()["data"])


@pytest.mark.parametrize("path", PATHS)
def test_a_repeated_create_returns_the_first_result(client: TestClient, bodies: dict[str, Any], path: str) -> None:
    body, other = bodies[path]
    before = total(client, path)
    first, second = post(client, path, body, "key"), post(client, path, body, "key")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert first.headers["location"] == second.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    reused = post(client, path, other, "key")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert total(client, path) == before + 1


def test_a_repeated_job_is_returned_as_it_is_now(
    client: TestClient, bodies: dict[str, Any], renderer: Renderer
) -> None:
    body, _ = bodies["/v1/jobs"]
    first = post(client, "/v1/jobs", body, "key").json()
    renderer.claim(first["id"])
    second = post(client, "/v1/jobs", body, "key").json()
    assert (first["state"], first["attempts"]) == ("queued", [])
    assert (second["state"], [one["number"] for one in second["attempts"]]) == ("running", [1])


@pytest.mark.parametrize("path", PATHS)
def test_tenants_do_not_share_keys(client: TestClient, stranger: TestClient, bodies: dict[str, Any], path: str) -> None:
    body, _ = bodies[path]
    mine = post(client, path, body, "key")
    theirs = post(stranger, path, body, "key")
    assert mine.status_code == 201
    assert "idempotency-replayed" not in theirs.headers
    assert theirs.json().get("id") != mine.json()["id"]


@pytest.mark.parametrize("path", PATHS)
def test_concurrent_creates_with_one_key_create_once(client: TestClient, bodies: dict[str, Any], path: str) -> None:
    body, _ = bodies[path]
    before = total(client, path)
    with ThreadPoolExecutor(6) as threads:
        responses = list(threads.map(lambda _: post(client, path, body, "key"), range(6)))
    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["id"] for response in responses}) == 1
    assert sum("idempotency-replayed" in response.headers for response in responses) == 5
    assert total(client, path) == before + 1


@pytest.mark.parametrize("path", PATHS)
def test_the_key_of_something_deleted_can_be_used_again(client: TestClient, bodies: dict[str, Any], path: str) -> None:
    body, _ = bodies[path]
    first = post(client, path, body, "key").json()["id"]
    assert client.delete(f"{path}/{first}").status_code == 204
    assert post(client, path, body, "key").json()["id"] != first


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("offered", [b"", b"x" * 256, b"two words"])
def test_an_invalid_key_is_rejected(client: TestClient, bodies: dict[str, Any], path: str, offered: bytes) -> None:
    response = client.post(path, json=bodies[path][0], headers=[(b"idempotency-key", offered)])
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "header/Idempotency-Key"


def test_a_job_that_is_refused_does_not_use_its_key(client: TestClient, bodies: dict[str, Any]) -> None:
    body, _ = bodies["/v1/jobs"]
    assert post(client, "/v1/jobs", body | {"speech_upload_id": str(uuid4())}, "key").status_code == 422
    assert post(client, "/v1/jobs", body, "key").status_code == 201
