"""Lists of jobs, batches and uploads: filters, cursors, changes and long polls."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from dubline.api.schemas.jobs import JobAnswer
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Prober, Renderer

    from dubline.api.services import Services

FIVE = ["a", "b", "c", "d", "e"]


@pytest.fixture
def row(prober: Prober) -> dict[str, Any]:
    return {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}


def pages(client: TestClient, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Read a list page by page."""
    cursor: dict[str, str] = {}
    while True:
        response = client.get(path, params=query | cursor)
        assert response.status_code == 200, response.text
        yield response.json()
        if response.json()["next_cursor"] is None:
            return
        cursor = {"cursor": response.json()["next_cursor"]}


def values(client: TestClient, path: str, name: str, **query: Any) -> list[Any]:
    return [one[name] for page in pages(client, path, **query) for one in page["data"]]


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_the_pages_of_a_list_have_every_row_once_newest_first(
    client: TestClient, row: dict[str, Any], limit: int
) -> None:
    for name in FIVE:
        client.post("/v1/jobs", json=row | {"custom_id": name})
        client.post("/v1/batches", json={"jobs": [row]})
    jobs = values(client, "/v1/jobs", "custom_id", limit=limit)
    assert [name for name in jobs if name] == FIVE[::-1]
    for path, count in (("/v1/jobs", 10), ("/v1/batches", 5), ("/v1/uploads", 2)):
        found = [one for page in pages(client, path, limit=limit) for one in page["data"]]
        assert len({one["id"] for one in found}) == len(found) == count
        assert [one["created_at"] for one in found] == sorted((one["created_at"] for one in found), reverse=True)


def test_rows_of_one_transaction_are_on_one_page_each(client: TestClient, row: dict[str, Any]) -> None:
    client.post("/v1/batches", json={"jobs": [row | {"custom_id": name} for name in FIVE]})
    assert sorted(values(client, "/v1/jobs", "custom_id", limit=2)) == FIVE


def test_jobs_are_filtered_by_state_custom_id_and_creation(client: TestClient, row: dict[str, Any]) -> None:
    made = [client.post("/v1/jobs", json=row | {"custom_id": name}).json() for name in FIVE]
    client.post(f"/v1/jobs/{made[1]['id']}/cancel")
    assert values(client, "/v1/jobs", "custom_id", state="cancelled") == ["b"]
    assert values(client, "/v1/jobs", "custom_id", state=["cancelled", "queued"]) == FIVE[::-1]
    assert values(client, "/v1/jobs", "id", custom_id="c") == [made[2]["id"]]
    assert values(client, "/v1/jobs", "id", custom_id="b", state="queued") == []
    middle = made[2]["created_at"]
    assert values(client, "/v1/jobs", "custom_id", created_after=middle) == ["e", "d", "c"]
    assert values(client, "/v1/jobs", "custom_id", created_before=middle) == ["b", "a"]


def test_batches_are_filtered_by_end_and_key(client: TestClient, row: dict[str, Any]) -> None:
    first, second = (
        client.post("/v1/batches", json={"jobs": [row]}, headers={"Idempotency-Key": name}).json()["id"]
        for name in ("one", "two")
    )
    client.post(f"/v1/batches/{first}/cancel")
    assert values(client, "/v1/batches", "id", finished=True) == [first]
    assert values(client, "/v1/batches", "open_count", finished=False) == [1]
    assert values(client, "/v1/batches", "id", idempotency_key="two") == [second]
    assert values(client, "/v1/batches", "id", idempotency_key="three") == []


def test_a_file_is_found_by_its_hash(client: TestClient, prober: Prober) -> None:
    ready = prober.ready("portrait")
    prober.probing("speech")
    assert values(client, "/v1/uploads", "id", sha256="ab" * 32, kind="portrait", state="ready") == [ready]
    assert values(client, "/v1/uploads", "id", sha256="ab" * 32, kind="speech") == []
    assert values(client, "/v1/uploads", "id", sha256="00" * 32) == []
    assert values(client, "/v1/uploads", "kind", state="probing") == ["speech"]
    assert client.get("/v1/uploads", params={"sha256": "short"}).status_code == 422


def test_a_list_has_nothing_of_another_tenant(client: TestClient, stranger: TestClient, row: dict[str, Any]) -> None:
    client.post("/v1/batches", json={"jobs": [row | {"custom_id": "a"}]}, headers={"Idempotency-Key": "k"})
    for path, query in (
        ("/v1/jobs", {}),
        ("/v1/jobs", {"custom_id": "a"}),
        ("/v1/batches", {}),
        ("/v1/batches", {"idempotency_key": "k"}),
        ("/v1/uploads", {}),
        ("/v1/uploads", {"sha256": "ab" * 32}),
    ):
        assert values(stranger, path, "id", **query) == []


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/batches", "/v1/uploads"])
@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "AAAAAAAAAAAA"},
        {"cursor": "\u00e9"},
        {"cursor": "A" * 36},
        {"cursor": "AgEAAAAAAAAA" + "_" * 24},
        {"created_after": "yesterday"},
        {"created_after": "2026-01-01T00:00:00"},
        {"limit": 501},
    ],
)
def test_invalid_parameters_of_a_list_are_rejected(client: TestClient, path: str, query: dict[str, Any]) -> None:
    response = client.get(path, params=query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_results_are_presigned_only_on_request(client: TestClient, row: dict[str, Any], renderer: Renderer) -> None:
    batch = client.post("/v1/batches", json={"jobs": [row]}).json()["id"]
    (job,) = values(client, f"/v1/batches/{batch}/jobs", "id")
    renderer.finish(renderer.claim(job), size_bytes=6, duration_s=2.5)
    for path in (f"/v1/batches/{batch}/jobs", "/v1/jobs"):
        (plain,) = values(client, path, "result")
        assert plain == {"url": None, "expires_at": None, "sha256": None, "size_bytes": 6, "duration_s": 2.5}
        (signed,) = values(client, path, "result", include="result")
        assert signed["url"].startswith("http")
    assert client.get(f"/v1/jobs/{job}").json()["result"]["url"].startswith("http")


def test_a_job_in_a_list_equals_the_single_one(client: TestClient, row: dict[str, Any], renderer: Renderer) -> None:
    options = {"seed": 7, "controls": {"blink": 0.5}, "output": {"height_px": 256}}
    batch = client.post("/v1/batches", json={"jobs": [row | {"custom_id": "a"} | options, row]}).json()["id"]
    jobs = values(client, f"/v1/batches/{batch}/jobs", "id")
    renderer.finish(renderer.claim(jobs[0]), size_bytes=6, duration_s=2.5)
    for path in (f"/v1/batches/{batch}/jobs", "/v1/jobs"):
        (page,) = pages(client, path)
        for job in page["data"]:
            single = client.get(f"/v1/jobs/{job['id']}").json()
            for name in ("attempts", "eta_error_s"):
                del single[name]
            if single["result"]:
                single["result"] |= {"url": None, "expires_at": None}
            assert job == single
            JobAnswer.model_validate(job)


def test_only_jobs_that_changed_are_listed(
    client: TestClient, services: Services, row: dict[str, Any], renderer: Renderer
) -> None:
    batch = client.post("/v1/batches", json={"jobs": [row | {"custom_id": name} for name in FIVE]}).json()["id"]
    path = f"/v1/batches/{batch}/jobs"

    def changed(since: int) -> tuple[list[str], int]:
        (page,) = pages(client, path, changed_since=since)
        return [job["custom_id"] for job in page["data"]], page["changed_until"]

    (everything,) = pages(client, path)
    seen, until = changed(everything["changed_until"])
    assert seen == []
    lease = renderer.claim(everything["data"][0]["id"])
    seen, until = changed(until)
    assert seen == ["a"]
    services.store.leases.renew(lease, 60)
    assert changed(until)[0] == []
    services.store.leases.progress(lease, Stage.RENDERING, 50.0)
    seen, until = changed(until)
    assert seen == ["a"]
    renderer.finish(lease, 6, 2.5)
    client.post(f"/v1/batches/{batch}/cancel")
    assert changed(until)[0] == FIVE
    assert values(client, path, "custom_id", state="succeeded") == ["a"]
    assert client.get(path, params={"changed_since": -1}).status_code == 422


def test_a_change_that_is_committed_late_is_not_missed(
    client: TestClient, services: Services, row: dict[str, Any]
) -> None:
    batch = client.post("/v1/batches", json={"jobs": [row]}).json()["id"]
    path = f"/v1/batches/{batch}/jobs"
    with services.store._engine.connect() as slow:
        slow.exec_driver_sql("UPDATE jobs SET progress_percent = 5")
        # Read after the change was made and before it was committed.
        client.post("/v1/jobs", json=row)
        (page,) = pages(client, path)
        slow.commit()
    assert page["data"][0]["percent"] == 0
    assert values(client, path, "percent", changed_since=page["changed_until"]) == [5]


def test_a_long_poll_ends_with_the_change_it_waits_for(client: TestClient, row: dict[str, Any]) -> None:
    batch = client.post("/v1/batches", json={"jobs": [row]}).json()["id"]
    (page,) = pages(client, f"/v1/batches/{batch}/jobs")
    job = page["data"][0]["id"]
    cancelling = threading.Timer(0.3, lambda: client.post(f"/v1/batches/{batch}/cancel"))
    cancelling.start()
    since = {"changed_since": page["changed_until"], "wait_s": 30}
    assert values(client, f"/v1/batches/{batch}/jobs", "state", **since) == ["cancelled"]
    cancelling.join()
    for path in (f"/v1/batches/{batch}", f"/v1/jobs/{job}"):
        assert client.get(path, params={"wait_s": 30}).status_code == 200


def test_a_long_poll_ends_when_its_time_is_over(client: TestClient, row: dict[str, Any]) -> None:
    job = client.post("/v1/jobs", json=row).json()["id"]
    assert client.get(f"/v1/jobs/{job}", params={"wait_s": 0.2}).json()["state"] == "queued"
    for wait_s in (-1, 31, "nan", "inf"):
        assert client.get(f"/v1/jobs/{job}", params={"wait_s": wait_s}).status_code == 422
    assert client.get(f"/v1/jobs/{uuid4()}", params={"wait_s": 30}).status_code == 404


def test_the_limits_are_those_of_the_settings(client: TestClient, services: Services) -> None:
    limits = services.limits
    assert client.get("/v1/limits").json() == {
        "batch_rows": limits.batch_rows,
        "portrait_bytes": limits.portrait_bytes,
        "speech_bytes": limits.upload_bytes,
        "presets": ["base", "tiny"],
        "consent_required": limits.require_consent,
        "unused_upload_s": limits.unused_upload_s,
        "requests_per_s": limits.requests_per_s,
        "queued_jobs": limits.queued_jobs,
        "queued_s": limits.queued_s,
        "running_jobs": None,
        "stored_bytes": limits.stored_bytes,
        "held": {"jobs": 0, "speech_s": 0, "stored_bytes": 0},
    }


@pytest.mark.parametrize("number", ["2026", "0", "1e9", "-1"])
def test_a_number_is_neither_a_time_nor_a_day(client: TestClient, number: str) -> None:
    lists = ("/v1/jobs", "/v1/batches", "/v1/uploads")
    paths = [f"{path}?{name}={number}" for path in lists for name in ("created_after", "created_before")]
    for path in (*paths, f"/v1/usage?first={number}", f"/v1/usage?last={number}"):
        assert client.get(path).status_code == 422, path


@pytest.mark.parametrize("path", ["/v1/jobs?custom_id=a%00b", "/v1/batches?idempotency_key=a%00b"])
def test_a_filter_that_the_database_cannot_receive_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 422
