from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx2

from dubline.orchestration.jobs import Cause, Stage
from dubline.orchestration.queue import RENDER_QUEUE

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Prober, Renderer

    from dubline.api.services import Services


def submit(client: TestClient, prober: Prober, **fields: Any) -> dict[str, Any]:
    request = {
        "portrait_upload_id": prober.ready("portrait"),
        "speech_upload_id": prober.ready("speech"),
        **fields,
    }
    answer = client.post("/v1/jobs", json=request)
    assert answer.status_code == 201
    created: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{created['id']}"
    return created


def test_a_job_is_queued_and_a_renderer_is_woken(client: TestClient, prober: Prober, services: Services) -> None:
    created = submit(client, prober, custom_id="hello", seed=7)
    assert (created["state"], created["percent"], created["attempts"]) == ("queued", 0, [])
    assert (created["custom_id"], created["seed"], created["preset"]) == ("hello", 7, "tiny")
    assert created["result"] is created["error"] is created["eta_s"] is created["batch_id"] is None
    assert services.waker.waiting(RENDER_QUEUE) >= 1
    assert client.get(f"/v1/jobs/{created['id']}").json() == created


def test_a_running_job_shows_stage_percent_and_the_time_it_will_take(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer
) -> None:
    lease = renderer.claim(submit(client, prober)["id"])
    services.store.leases.progress(lease, Stage.RENDERING, 50.0)
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert (shown["state"], shown["stage"], shown["percent"]) == ("running", "rendering", 50)
    assert 0 <= shown["eta_s"] < 60
    (attempt,) = shown["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["ended_at"]) == (1, None, None)
    assert "worker" not in attempt


def test_a_finished_job_gives_its_video_under_a_fresh_url(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer, tmp_path: Path
) -> None:
    lease = renderer.claim(submit(client, prober)["id"])
    video = tmp_path / "video.mp4"
    video.write_bytes(b"frames")
    services.objects.put(video, lease.result_key, "video/mp4")
    renderer.finish(lease, size_bytes=6, duration_s=2.5)
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert (shown["state"], shown["percent"], shown["eta_s"]) == ("succeeded", 100, None)
    assert (shown["result"]["size_bytes"], shown["result"]["duration_s"]) == (6, 2.5)
    download = httpx2.get(shown["result"]["url"])
    assert download.content == b"frames"
    assert f"{lease.job_id}.mp4" in download.headers["content-disposition"]


def test_a_failed_job_and_each_of_its_attempts_say_why(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer
) -> None:
    lease = renderer.claim(submit(client, prober)["id"])
    services.store.leases.retry(lease, Cause.TRANSIENT, "storage_unavailable", "It was away.", 0.0)
    lease = renderer.claim(lease.job_id)
    services.store.leases.fail(lease, Cause.BAD_INPUT, "no_face", "No face was found.")
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "no_face")
    assert [(one["outcome"], one["error"]["code"]) for one in shown["attempts"]] == [
        ("retried", "storage_unavailable"),
        ("failed", "no_face"),
    ]


def test_a_job_waits_for_the_probe_of_its_uploads(client: TestClient, prober: Prober) -> None:
    request = {"portrait_upload_id": prober.probing("portrait"), "speech_upload_id": prober.ready("speech")}
    answer = client.post("/v1/jobs", json=request)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_not_ready")


def test_a_job_of_a_missing_a_rejected_or_a_wrong_upload_is_refused(client: TestClient, prober: Prober) -> None:
    portrait, speech = prober.ready("portrait"), prober.ready("speech")
    rejected = prober.rejected("portrait", "no_face", "No face was found.")
    for portrait_id, code in (
        (str(uuid4()), "upload_missing"),
        (rejected, "no_face"),
        (speech, "wrong_content_type"),
    ):
        request = {"portrait_upload_id": portrait_id, "speech_upload_id": speech}
        answer = client.post("/v1/jobs", json=request)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    unknown = {"portrait_upload_id": portrait, "speech_upload_id": speech, "preset": "huge"}
    answer = client.post("/v1/jobs", json=unknown)
    assert answer.status_code == 422
    assert [item["pointer"] for item in answer.json()["errors"]] == ["#/preset"]


def test_a_tenants_job_and_uploads_do_not_exist_for_another(
    client: TestClient, stranger: TestClient, prober: Prober
) -> None:
    created = submit(client, prober)
    answer = stranger.get(f"/v1/jobs/{created['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    borrowed = {name: created[name] for name in ("portrait_upload_id", "speech_upload_id")}
    answer = stranger.post("/v1/jobs", json=borrowed)
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_missing")
