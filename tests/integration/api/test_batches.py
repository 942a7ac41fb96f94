from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dubline.api.app import create_app
from dubline.orchestration.domain.errors import LeaseLostError
from dubline.orchestration.domain.jobs import Stage
from dubline.orchestration.queue import RENDER

if TYPE_CHECKING:
    from tests.integration.api.conftest import Outbox, Prober, Renderer

    from dubline.api.services import Services


@pytest.fixture
def row(prober: Prober) -> dict[str, Any]:
    return {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}


parsed = datetime.fromisoformat


def submit(client: TestClient, rows: list[dict[str, Any]], **headers: str) -> dict[str, Any]:
    response = client.post("/v1/batches", json={"jobs": rows}, headers=headers)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/batches/{created['id']}"
    return created


def test_a_batch_is_queued_together_with_its_notifications(
    client: TestClient, outbox: Outbox, row: dict[str, Any]
) -> None:
    outbox.publish()
    created = submit(client, [row] * 100)
    assert (created["job_count"], created["counts"]["queued"], created["percent"]) == (100, 100, 0)
    assert created["finished"] is False
    assert created["retention"] == {"inputs_s": None, "results_s": None}
    assert set(created["counts"]) == {"queued", "running", "retrying", "succeeded", "failed", "cancelled"}
    assert outbox.publish() == {RENDER: 100}
    assert client.get(f"/v1/batches/{created['id']}").json() == created


def test_a_row_without_its_upload_is_the_only_one_to_fail(client: TestClient, row: dict[str, Any]) -> None:
    lost = {**row, "speech_upload_id": str(uuid4()), "custom_id": "lost"}
    created = submit(client, [row, lost, row])
    assert (created["counts"]["queued"], created["counts"]["failed"]) == (2, 1)
    page = client.get(f"/v1/batches/{created['id']}/jobs").json()
    assert [job["state"] for job in page["data"]] == ["queued", "failed", "queued"]
    assert (page["data"][1]["custom_id"], page["data"][1]["error"]["code"]) == ("lost", "upload_missing")


def test_a_malformed_row_rejects_the_batch_and_is_listed(client: TestClient, row: dict[str, Any]) -> None:
    rows = [{**row, "custom_id": "a"}, {**row, "preset": "huge"}, {**row, "custom_id": "a"}]
    response = client.post("/v1/batches", json={"jobs": rows})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_batch")
    assert [(item["pointer"], item["code"]) for item in response.json()["errors"]] == [
        ("#/jobs/0/custom_id", "duplicate_custom_id"),
        ("#/jobs/1/preset", "unknown_preset"),
        ("#/jobs/2/custom_id", "duplicate_custom_id"),
    ]


def test_a_batch_with_an_upload_that_is_being_probed_is_rejected(
    client: TestClient, prober: Prober, row: dict[str, Any]
) -> None:
    rows = [row, {**row, "portrait_upload_id": prober.probing("portrait")}]
    response = client.post("/v1/batches", json={"jobs": rows})
    assert (response.status_code, response.json()["code"]) == (409, "upload_not_ready")


def test_the_same_key_and_body_return_the_same_batch(client: TestClient, row: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = client.post("/v1/batches", json={"jobs": [row]}, headers=headers)
    # Explicit defaults do not change the request.
    second = client.post(
        "/v1/batches", json={"jobs": [{"seed": None, "controls": {"blink": 1}, **row}]}, headers=headers
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("more", [{"seed": 0}, {"controls": {"blink": 0}}])
def test_the_same_key_with_another_body_is_rejected(
    client: TestClient, row: dict[str, Any], more: dict[str, Any]
) -> None:
    key = uuid4().hex
    submit(client, [row], **{"Idempotency-Key": key})
    response = client.post("/v1/batches", json={"jobs": [row | more]}, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("offered", [b"", b"x" * 256, b"two words", b"\xff"])
def test_an_invalid_idempotency_key_is_rejected(client: TestClient, row: dict[str, Any], offered: bytes) -> None:
    response = client.post("/v1/batches", json={"jobs": [row]}, headers=[(b"idempotency-key", offered)])
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert response.json()["errors"][0]["pointer"] == "header/Idempotency-Key"


@pytest.mark.parametrize("limit", [1, 7, 10, 500])
def test_the_pages_contain_every_job_once_in_order(client: TestClient, row: dict[str, Any], limit: int) -> None:
    created = submit(client, [{**row, "custom_id": f"row-{number}"} for number in range(20)])
    seen: list[str] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        query: dict[str, str | int] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/v1/batches/{created['id']}/jobs", params=query).json()
        assert len(page["data"]) <= limit
        seen += [job["custom_id"] for job in page["data"]]
        cursor = page["next_cursor"]
    assert seen == [f"row-{number}" for number in range(20)]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": -1}, "query/limit"),
        ({"limit": 0}, "query/limit"),
        ({"limit": 10**30}, "query/limit"),
        ({"limit": "all"}, "query/limit"),
        ({"cursor": "x" * 65}, "query/cursor"),
        ({"cursor": ""}, None),
        ({"cursor": "\x00"}, None),
        ({"cursor": "AAAAAAAAAAAA"}, None),
    ],
)
def test_invalid_page_parameters_are_rejected(
    client: TestClient, row: dict[str, Any], query: dict[str, Any], pointer: str | None
) -> None:
    created = submit(client, [row])
    response = client.get(f"/v1/batches/{created['id']}/jobs", params=query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in response.json().get("errors", [])] == ([pointer] if pointer else [])


def test_a_batch_over_the_row_limit_is_rejected(services: Services, key: str, row: dict[str, Any]) -> None:
    small = replace(services, limits=services.limits.model_copy(update={"batch_rows": 2}))
    with TestClient(create_app(small), headers={"Authorization": f"Bearer {key}"}) as client:
        response = client.post("/v1/batches", json={"jobs": [row] * 3})
    assert (response.status_code, response.json()["code"]) == (413, "too_many_rows")


def test_a_batch_is_not_found_for_another_tenant(client: TestClient, stranger: TestClient, row: dict[str, Any]) -> None:
    created = submit(client, [row])
    path = f"/v1/batches/{created['id']}"
    for response in (
        stranger.get(path),
        stranger.get(f"{path}/jobs"),
        stranger.post(f"{path}/cancel"),
        stranger.delete(path),
        stranger.delete(path, params={"inputs": True}),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert client.get(path).json() == created


def test_cancelling_a_batch_changes_only_jobs_that_are_not_final(
    client: TestClient, services: Services, renderer: Renderer, row: dict[str, Any]
) -> None:
    lost = {**row, "speech_upload_id": str(uuid4())}
    path = f"/v1/batches/{submit(client, [row, row, lost, row])['id']}"
    first, second, *_ = client.get(f"{path}/jobs").json()["data"]
    renderer.finish(renderer.claim(first["id"]), size_bytes=6, duration_s=2.5)
    running = renderer.claim(second["id"])
    response = client.post(f"{path}/cancel")
    assert response.status_code == 200
    cancelled = response.json()
    counts = {state: count for state, count in cancelled["counts"].items() if count}
    assert counts == {"succeeded": 1, "failed": 1, "cancelled": 2}
    assert (cancelled["percent"], cancelled["finished"]) == (100, True)
    with pytest.raises(LeaseLostError):
        services.store.leases.progress(running, Stage.RENDERING, 50.0)
    assert services.store.leases.claim("renderer-1", 60) is None
    assert client.post(f"{path}/cancel").json() == client.get(path).json() == cancelled


def test_each_row_has_its_own_deadline(client: TestClient, row: dict[str, Any]) -> None:
    created = submit(client, [row, {**row, "deadline_s": 90}])
    without, urgent = client.get(f"/v1/batches/{created['id']}/jobs").json()["data"]
    assert without["deadline_at"] is None
    assert (parsed(urgent["deadline_at"]) - parsed(urgent["created_at"])).total_seconds() == 90


def test_a_row_with_an_invalid_deadline_is_listed(client: TestClient, row: dict[str, Any]) -> None:
    response = client.post("/v1/batches", json={"jobs": [row, {**row, "deadline_s": 0}]})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in response.json()["errors"]] == ["#/jobs/1/deadline_s"]


def test_an_invalid_retention_is_listed(client: TestClient, row: dict[str, Any]) -> None:
    retention = {"inputs_s": 0, "results_s": "soon"}
    response = client.post("/v1/batches", json={"jobs": [row], "retention": retention})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in response.json()["errors"]] == [
        "#/retention/inputs_s",
        "#/retention/results_s",
    ]


def test_the_same_key_with_another_retention_or_deadline_is_rejected(client: TestClient, row: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    submit(client, [row], **headers)
    for body in (
        {"jobs": [row], "retention": {"results_s": 3600}},
        {"jobs": [{**row, "deadline_s": 90}]},
    ):
        response = client.post("/v1/batches", json=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    unchanged = {"jobs": [{**row, "deadline_s": None}], "retention": {"results_s": None}}
    response = client.post("/v1/batches", json=unchanged, headers=headers)
    assert (response.status_code, response.headers["idempotency-replayed"]) == (201, "true")
