from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text
from tests.integration.api.conftest import FACTS

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.admission import seed_of
from dubline.orchestration.domain.errors import LeaseLostError
from dubline.orchestration.domain.jobs import Cause, Stage
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.queue import RENDER

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Outbox, Prober, Renderer

    from dubline.api.services import Services


def submit(client: TestClient, prober: Prober, **fields: Any) -> dict[str, Any]:
    request = {
        "portrait_upload_id": prober.ready("portrait"),
        "speech_upload_id": prober.ready("speech"),
        **fields,
    }
    response = client.post("/v1/jobs", json=request)
    assert response.status_code == 201
    created: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/jobs/{created['id']}"
    return created


def test_a_job_is_queued_together_with_its_notification(client: TestClient, prober: Prober, outbox: Outbox) -> None:
    created = submit(client, prober, custom_id="hello", seed=7)
    assert (created["state"], created["percent"], created["attempts"]) == ("queued", 0, [])
    assert (created["custom_id"], created["seed"], created["preset"]) == ("hello", 7, "base")
    assert created["result"] is created["error"] is created["eta_s"] is created["batch_id"] is None
    assert created["deadline_at"] is created["result_deleted_at"] is None
    assert outbox.publish()[RENDER] == 1
    assert client.get(f"/v1/jobs/{created['id']}").json() == created


def test_the_default_seed_is_derived_from_the_files_and_shown(
    client: TestClient, prober: Prober, renderer: Renderer
) -> None:
    own = seed_of(*(FACTS[kind].sha256 for kind in (UploadKind.PORTRAIT, UploadKind.SPEECH)))
    alone = submit(client, prober)
    assert renderer.claim(alone["id"]).options.seed == alone["seed"] == own != 0
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    batch = client.post("/v1/batches", json={"jobs": [row, {**row, "seed": 0}]}).json()
    page = client.get(f"/v1/batches/{batch['id']}/jobs").json()
    assert [job["seed"] for job in page["data"]] == [own, 0]


def test_a_running_job_shows_stage_percent_and_remaining_time(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer
) -> None:
    lease = renderer.claim(submit(client, prober)["id"])
    services.store.leases.progress(lease, Stage.RENDERING, 50.0, 1.25)
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert (shown["state"], shown["stage"], shown["percent"]) == ("running", "rendering", 50)
    assert 0 <= shown["eta_s"] < 60
    (attempt,) = shown["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["ended_at"]) == (1, None, None)
    assert attempt["gpu_s"] == 1.25
    assert "worker" not in attempt


def test_a_finished_job_has_a_signed_url_of_its_video(
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


def test_a_failed_job_and_its_attempts_have_their_errors(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer
) -> None:
    lease = renderer.claim(submit(client, prober)["id"])
    services.store.leases.retry(lease, Cause.TRANSIENT, "storage_unavailable", "Unavailable.", 0.0, 2.5)
    lease = renderer.claim(lease.job_id)
    services.store.leases.fail(lease, Cause.BAD_INPUT, "no_face", "No face was found.", 0.5)
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "no_face")
    assert [(one["outcome"], one["error"]["code"], one["gpu_s"]) for one in shown["attempts"]] == [
        ("retried", "storage_unavailable", 2.5),
        ("failed", "no_face", 0.5),
    ]
    assert shown["gpu_s"] == 3.0


def test_a_job_with_an_upload_that_is_being_probed_is_rejected(client: TestClient, prober: Prober) -> None:
    request = {"portrait_upload_id": prober.probing("portrait"), "speech_upload_id": prober.ready("speech")}
    response = client.post("/v1/jobs", json=request)
    assert (response.status_code, response.json()["code"]) == (409, "upload_not_ready")


def test_a_job_with_an_unusable_upload_or_preset_is_rejected(client: TestClient, prober: Prober) -> None:
    portrait, speech = prober.ready("portrait"), prober.ready("speech")
    rejected = prober.rejected("portrait", "no_face", "No face was found.")
    for portrait_id, code in (
        (str(uuid4()), "upload_missing"),
        (rejected, "no_face"),
        (speech, "wrong_content_type"),
    ):
        request = {"portrait_upload_id": portrait_id, "speech_upload_id": speech}
        response = client.post("/v1/jobs", json=request)
        assert (response.status_code, response.json()["code"]) == (422, code)
    unknown = {"portrait_upload_id": portrait, "speech_upload_id": speech, "preset": "huge"}
    response = client.post("/v1/jobs", json=unknown)
    assert response.status_code == 422
    assert [item["pointer"] for item in response.json()["errors"]] == ["#/preset"]


def test_a_job_and_its_uploads_are_not_found_for_another_tenant(
    client: TestClient, stranger: TestClient, prober: Prober
) -> None:
    created = submit(client, prober)
    path = f"/v1/jobs/{created['id']}"
    for response in (stranger.get(path), stranger.post(f"{path}/cancel"), stranger.delete(path)):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert client.get(path).json() == created
    foreign = {name: created[name] for name in ("portrait_upload_id", "speech_upload_id")}
    response = stranger.post("/v1/jobs", json=foreign)
    assert (response.status_code, response.json()["code"]) == (422, "upload_missing")


@pytest.mark.parametrize("state", ["queued", "running", "retrying"])
def test_cancelling_a_job_that_is_not_final_stops_it(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer, state: str
) -> None:
    leases = services.store.leases
    path = f"/v1/jobs/{submit(client, prober)['id']}"
    lease = None if state == "queued" else renderer.claim(path.rpartition("/")[-1])
    if lease and state == "retrying":
        leases.retry(lease, Cause.TRANSIENT, "storage_unavailable", "Unavailable.", 0.0)
    assert client.get(path).json()["state"] == state
    response = client.post(f"{path}/cancel")
    assert response.status_code == 200
    cancelled = response.json()
    assert (cancelled["state"], cancelled["stage"], cancelled["error"]) == ("cancelled", None, None)
    assert cancelled["finalized_at"]
    outcomes = [(attempt["outcome"], attempt["cause"]) for attempt in cancelled["attempts"]]
    assert (
        outcomes
        == {
            "queued": [],
            "running": [("cancelled", "cancelled")],
            "retrying": [("retried", "transient")],
        }[state]
    )
    assert leases.claim("renderer-2", 60) is None
    if lease:
        with pytest.raises(LeaseLostError):
            leases.renew(lease, 60)
    assert client.post(f"{path}/cancel").json() == client.get(path).json() == cancelled


def test_cancelling_a_final_job_changes_nothing(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer
) -> None:
    done = renderer.claim(submit(client, prober)["id"])
    renderer.finish(done, size_bytes=6, duration_s=2.5)
    failed = renderer.claim(submit(client, prober)["id"])
    services.store.leases.fail(failed, Cause.BAD_INPUT, "no_face", "No face was found.")
    for lease, state in ((done, "succeeded"), (failed, "failed")):
        before = client.get(f"/v1/jobs/{lease.job_id}").json()
        response = client.post(f"/v1/jobs/{lease.job_id}/cancel")
        after = response.json()
        assert (response.status_code, after["state"]) == (200, state)
        # Each response has a new signed URL.
        assert {**after, "result": None} == {**before, "result": None}
        assert bool(after["result"]) == (state == "succeeded")


def test_a_job_that_is_not_final_at_its_deadline_fails(
    client: TestClient, prober: Prober, services: Services, renderer: Renderer
) -> None:
    created = submit(client, prober, deadline_s=90.5)
    waited = datetime.fromisoformat(created["deadline_at"]) - datetime.fromisoformat(created["created_at"])
    assert waited.total_seconds() == 90.5
    lease = renderer.claim(created["id"])
    assert services.store.leases.expire_deadlines() == 0
    with transaction(services.store._engine) as session:
        session.execute(text("UPDATE jobs SET deadline_at = now() - interval '1 second'"))
    assert services.store.leases.expire_deadlines() == 1
    shown = client.get(f"/v1/jobs/{lease.job_id}").json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "deadline_exceeded")
    assert [(one["outcome"], one["cause"]) for one in shown["attempts"]] == [("failed", "deadline")]


@pytest.mark.parametrize("deadline_s", [0, -1, 0.5, 31 * 86_400, "90", True, 10**400, 1e308])
def test_an_invalid_deadline_is_rejected_with_its_pointer(
    client: TestClient, prober: Prober, deadline_s: object
) -> None:
    request = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    response = client.post("/v1/jobs", json=request | {"deadline_s": deadline_s})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in response.json()["errors"]] == ["#/deadline_s"]


def test_the_height_of_the_video_reaches_the_worker(client: TestClient, prober: Prober, renderer: Renderer) -> None:
    chosen = submit(client, prober, output={"height_px": 256})
    assert chosen["output"] == {"height_px": 256}
    assert renderer.claim(chosen["id"]).options.output.height_px == 256
    assert submit(client, prober)["output"] == {"height_px": None}


def test_the_chosen_face_reaches_the_worker(client: TestClient, prober: Prober, renderer: Renderer) -> None:
    chosen = submit(client, prober, face_index=0)
    assert chosen["face_index"] == 0
    assert renderer.claim(chosen["id"]).options.face_index == 0
    assert submit(client, prober)["face_index"] is None


def test_a_face_that_does_not_exist_is_a_problem_that_says_what_there_is(client: TestClient, prober: Prober) -> None:
    request = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    answer = client.post("/v1/jobs", json=request | {"face_index": 3})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_such_face")
    assert (
        "no face 3. Its faces: 0 at (10, 20) to (110, 140); 1 at (200, 30) to (260, 90), fa" in answer.json()["detail"]
    )


def test_a_face_is_chosen_by_a_point_of_the_portrait(client: TestClient, prober: Prober, renderer: Renderer) -> None:
    chosen = submit(client, prober, face={"x": 60, "y": 80})
    assert chosen["face_index"] == 0
    assert renderer.claim(chosen["id"]).options.face_index == 0


@pytest.mark.parametrize(
    ("asked", "code", "detail"),
    [
        (
            {"face": {"x": 150, "y": 80}},
            "no_such_face",
            "no face at (150, 80). Its faces: 0 at (10, 20) to (110, 140); 1 ",
        ),
        ({"face": {"x": 230, "y": 60}}, "face_profile", "Face 1 cannot be animated."),
        ({"face": {"x": 60, "y": 80}, "face_index": 0}, "invalid_request", "both face and face_index"),
        ({"face": {"x": 0.5, "y": 0.4}}, "invalid_request", ""),
        ({"face": {"x": 60}}, "invalid_request", ""),
        ({"face": {"x": -1, "y": 0}}, "invalid_request", ""),
    ],
)
def test_a_point_that_chooses_no_face_is_a_problem(
    client: TestClient, prober: Prober, asked: dict[str, Any], code: str, detail: str
) -> None:
    request = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    answer = client.post("/v1/jobs", json=request | asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert detail in answer.json()["detail"]


def test_a_row_with_two_choices_of_a_face_is_named(client: TestClient, prober: Prober) -> None:
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    answer = client.post("/v1/batches", json={"jobs": [row, row | {"face": {"x": 60, "y": 80}, "face_index": 0}]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_batch")
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
        ("#/jobs/1/face", "face_chosen_twice")
    ]


@pytest.mark.parametrize("height_px", [127, 129, 126, 1082, "256", 256.5])
def test_a_height_out_of_bounds_is_refused(client: TestClient, prober: Prober, height_px: object) -> None:
    request = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    answer = client.post("/v1/jobs", json={**request, "output": {"height_px": height_px}})
    assert answer.status_code == 422
    assert "height_px" in answer.text


def test_controls_are_returned_with_their_defaults(client: TestClient, prober: Prober) -> None:
    default = {"expression": 1, "head_motion": 1, "blink": 1, "shut_in_silence": 1}
    assert submit(client, prober)["controls"] == default
    assert submit(client, prober, controls={"head_motion": 0.5})["controls"] == default | {"head_motion": 0.5}


@pytest.mark.parametrize(
    ("controls", "pointer"),
    [
        ('{"head_motion": 2.5}', "#/controls/head_motion"),
        ('{"shut_in_silence": 1.5}', "#/controls/shut_in_silence"),
        ('{"blink": NaN}', "#/controls/blink"),
        ('{"smile": 1}', "#/controls/smile"),
    ],
)
def test_an_invalid_control_is_rejected_with_its_pointer(
    client: TestClient, prober: Prober, controls: str, pointer: str
) -> None:
    portrait, speech = prober.ready("portrait"), prober.ready("speech")
    body = f'{{"portrait_upload_id": "{portrait}", "speech_upload_id": "{speech}", "controls": {controls}}}'
    response = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [item["pointer"] for item in response.json()["errors"]] == [pointer]
