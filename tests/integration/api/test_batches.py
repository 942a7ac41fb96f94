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
    from tests.integration.api.conftest import Janitor, Prober, Renderer

    from dubline.api.services import Services


@pytest.fixture
def row(prober: Prober) -> dict[str, Any]:
    return {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}


parsed = datetime.fromisoformat


def submit(client: TestClient, rows: list[dict[str, Any]], **headers: str) -> dict[str, Any]:
    answer = client.post("/v1/batches", json={"jobs": rows}, headers=headers)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{created['id']}"
    return created


def test_a_batch_is_queued_whole_together_with_its_wake_ups(
    client: TestClient, janitor: Janitor, row: dict[str, Any]
) -> None:
    janitor.wake_ups()
    created = submit(client, [row] * 100)
    assert (created["job_count"], created["counts"]["queued"], created["percent"]) == (100, 100, 0)
    assert created["finished"] is False
    assert created["retention"] == {"inputs_s": None, "results_s": None}
    assert set(created["counts"]) == {"queued", "running", "retrying", "succeeded", "failed", "cancelled"}
    assert janitor.wake_ups() == {RENDER: 100}
    assert client.get(f"/v1/batches/{created['id']}").json() == created


def test_a_row_without_its_upload_fails_alone(client: TestClient, row: dict[str, Any]) -> None:
    lost = {**row, "speech_upload_id": str(uuid4()), "custom_id": "lost"}
    created = submit(client, [row, lost, row])
    assert (created["counts"]["queued"], created["counts"]["failed"]) == (2, 1)
    page = client.get(f"/v1/batches/{created['id']}/jobs").json()
    assert [job["state"] for job in page["data"]] == ["queued", "failed", "queued"]
    assert (page["data"][1]["custom_id"], page["data"][1]["error"]["code"]) == ("lost", "upload_missing")


def test_a_malformed_row_refuses_the_batch_and_is_named(client: TestClient, row: dict[str, Any]) -> None:
    rows = [{**row, "custom_id": "a"}, {**row, "preset": "huge"}, {**row, "custom_id": "a"}]
    answer = client.post("/v1/batches", json={"jobs": rows})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_batch")
    assert [(item["pointer"], item["code"]) for item in answer.json()["errors"]] == [
        ("#/jobs/0/custom_id", "duplicate_custom_id"),
        ("#/jobs/1/preset", "unknown_preset"),
        ("#/jobs/2/custom_id", "duplicate_custom_id"),
    ]


def test_a_batch_waits_for_the_probes_of_its_uploads(client: TestClient, prober: Prober, row: dict[str, Any]) -> None:
    rows = [row, {**row, "portrait_upload_id": prober.probing("portrait")}]
    answer = client.post("/v1/batches", json={"jobs": rows})
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_not_ready")


def test_the_same_key_and_body_give_the_same_batch(client: TestClient, row: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = client.post("/v1/batches", json={"jobs": [row]}, headers=headers)
    # Spelling out a default does not make it another request.
    second = client.post(
        "/v1/batches", json={"jobs": [{"seed": None, "controls": {"blink": 1}, **row}]}, headers=headers
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("more", [{"seed": 0}, {"controls": {"blink": 0}}])
def test_the_same_key_with_another_body_is_refused(
    client: TestClient, row: dict[str, Any], more: dict[str, Any]
) -> None:
    key = uuid4().hex
    submit(client, [row], **{"Idempotency-Key": key})
    answer = client.post("/v1/batches", json={"jobs": [row | more]}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("offered", [b"", b"x" * 256, b"two words", b"\xff"])
def test_a_key_that_could_not_be_kept_is_refused(client: TestClient, row: dict[str, Any], offered: bytes) -> None:
    answer = client.post("/v1/batches", json={"jobs": [row]}, headers=[(b"idempotency-key", offered)])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["pointer"] == "header/Idempotency-Key"


@pytest.mark.parametrize("limit", [1, 7, 10, 500])
def test_walking_the_pages_visits_every_job_once_in_order(client: TestClient, row: dict[str, Any], limit: int) -> None:
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
def test_a_page_that_makes_no_sense_is_refused(
    client: TestClient, row: dict[str, Any], query: dict[str, Any], pointer: str | None
) -> None:
    created = submit(client, [row])
    answer = client.get(f"/v1/batches/{created['id']}/jobs", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in answer.json().get("errors", [])] == ([pointer] if pointer else [])


def test_a_batch_over_the_row_limit_is_refused(services: Services, key: str, row: dict[str, Any]) -> None:
    small = replace(services, limits=services.limits.model_copy(update={"batch_rows": 2}))
    with TestClient(create_app(small), headers={"Authorization": f"Bearer {key}"}) as client:
        answer = client.post("/v1/batches", json={"jobs": [row] * 3})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_rows")


def test_a_tenants_batch_does_not_exist_for_another(
    client: TestClient, stranger: TestClient, row: dict[str, Any]
) -> None:
    created = submit(client, [row])
    path = f"/v1/batches/{created['id']}"
    for answer in (
        stranger.get(path),
        stranger.get(f"{path}/jobs"),
        stranger.post(f"{path}/cancel"),
        stranger.delete(path),
        stranger.delete(path, params={"inputs": True}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert client.get(path).json() == created


def test_cancelling_a_batch_stops_what_is_not_final_and_leaves_the_rest(
    client: TestClient, services: Services, renderer: Renderer, row: dict[str, Any]
) -> None:
    lost = {**row, "speech_upload_id": str(uuid4())}
    path = f"/v1/batches/{submit(client, [row, row, lost, row])['id']}"
    first, second, *_ = client.get(f"{path}/jobs").json()["data"]
    renderer.finish(renderer.claim(first["id"]), size_bytes=6, duration_s=2.5)
    running = renderer.claim(second["id"])
    answer = client.post(f"{path}/cancel")
    assert answer.status_code == 200
    cancelled = answer.json()
    counts = {state: count for state, count in cancelled["counts"].items() if count}
    assert counts == {"succeeded": 1, "failed": 1, "cancelled": 2}
    assert (cancelled["percent"], cancelled["finished"]) == (100, True)
    with pytest.raises(LeaseLostError):
        services.store.leases.progress(running, Stage.RENDERING, 50.0)
    assert services.store.leases.claim("renderer-1", 60) is None
    assert client.post(f"{path}/cancel").json() == client.get(path).json() == cancelled


def test_a_row_has_a_deadline_of_its_own(client: TestClient, row: dict[str, Any]) -> None:
    created = submit(client, [row, {**row, "deadline_s": 90}])
    easy, urgent = client.get(f"/v1/batches/{created['id']}/jobs").json()["data"]
    assert easy["deadline_at"] is None
    assert (parsed(urgent["deadline_at"]) - parsed(urgent["created_at"])).total_seconds() == 90


def test_a_row_whose_deadline_makes_no_sense_is_named(client: TestClient, row: dict[str, Any]) -> None:
    answer = client.post("/v1/batches", json={"jobs": [row, {**row, "deadline_s": 0}]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in answer.json()["errors"]] == ["#/jobs/1/deadline_s"]


def test_retention_that_makes_no_sense_is_named(client: TestClient, row: dict[str, Any]) -> None:
    retention = {"inputs_s": 0, "results_s": "soon"}
    answer = client.post("/v1/batches", json={"jobs": [row], "retention": retention})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in answer.json()["errors"]] == [
        "#/retention/inputs_s",
        "#/retention/results_s",
    ]


def test_the_same_key_with_another_retention_or_deadline_is_refused(client: TestClient, row: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    submit(client, [row], **headers)
    for body in (
        {"jobs": [row], "retention": {"results_s": 3600}},
        {"jobs": [{**row, "deadline_s": 90}]},
    ):
        answer = client.post("/v1/batches", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    unchanged = {"jobs": [{**row, "deadline_s": None}], "retention": {"results_s": None}}
    answer = client.post("/v1/batches", json=unchanged, headers=headers)
    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
