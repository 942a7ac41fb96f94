from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from starlette.testclient import TestClient

from dubline.api.app import create_app
from dubline.orchestration.queue import PROBE
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.api.conftest import Outbox, Prober

    from dubline.api.services import Services
    from dubline.orchestration.settings import BucketSettings

CONTENT = b"RIFF....WAVE" * 10


def declare(client: TestClient, **fields: Any) -> dict[str, Any]:
    request = {"kind": "speech", "content_type": "audio/wav", "size_bytes": len(CONTENT), **fields}
    response = client.post("/v1/uploads", json=request)
    assert response.status_code == 201
    created: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/uploads/{created['id']}"
    return created


def put(created: dict[str, Any], content: bytes = CONTENT) -> None:
    target = created["put"]
    httpx2.put(target["url"], content=content, headers=target["headers"]).raise_for_status()


def test_a_completed_upload_is_queued_for_its_probe(client: TestClient, outbox: Outbox) -> None:
    created = declare(client)
    assert created["state"] == "pending"
    put(created)
    response = client.post(f"/v1/uploads/{created['id']}/complete")
    assert (response.status_code, response.json()["state"]) == (202, "probing")
    assert outbox.publish() == {PROBE: 1}
    again = client.post(f"/v1/uploads/{created['id']}/complete")
    assert (again.status_code, again.json()["state"]) == (202, "probing")
    assert outbox.publish() == {}


def test_an_upload_without_a_file_cannot_be_completed(client: TestClient) -> None:
    created = declare(client)
    response = client.post(f"/v1/uploads/{created['id']}/complete")
    assert (response.status_code, response.json()["code"]) == (422, "upload_missing")
    assert client.get(f"/v1/uploads/{created['id']}").json()["state"] == "pending"


def test_a_file_of_another_length_is_rejected(
    client: TestClient, services: Services, tenant: str, tmp_path: Path
) -> None:
    created = declare(client)
    (tmp_path / "short").write_bytes(CONTENT[:-1])
    key = services.store.uploads.get(tenant, created["id"]).object_key
    services.objects.put(tmp_path / "short", key, "audio/wav")
    response = client.post(f"/v1/uploads/{created['id']}/complete")
    assert (response.status_code, response.json()["code"]) == (422, "upload_size_mismatch")
    assert "120 bytes were declared but 119 were received" in response.json()["detail"]
    shown = client.get(f"/v1/uploads/{created['id']}").json()
    assert (shown["state"], shown["error"]["code"]) == ("rejected", "upload_size_mismatch")


def test_a_job_with_a_file_of_another_length_has_its_error(
    client: TestClient, prober: Prober, services: Services, tenant: str, tmp_path: Path
) -> None:
    created = declare(client)
    (tmp_path / "long").write_bytes(CONTENT + b"!")
    key = services.store.uploads.get(tenant, created["id"]).object_key
    services.objects.put(tmp_path / "long", key, "audio/wav")
    client.post(f"/v1/uploads/{created['id']}/complete")
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": created["id"]}
    batch = client.post("/v1/batches", json={"jobs": [row]}).json()
    (job,) = client.get(f"/v1/batches/{batch['id']}/jobs").json()["data"]
    assert (job["state"], job["error"]["code"]) == ("failed", "upload_size_mismatch")


def test_a_ready_upload_shows_the_results_of_its_probe(client: TestClient, prober: Prober) -> None:
    speech, portrait = prober.ready("speech"), prober.ready("portrait")
    speech_upload = client.get(f"/v1/uploads/{speech}").json()
    portrait_upload = client.get(f"/v1/uploads/{portrait}").json()
    assert (speech_upload["state"], speech_upload["facts"]["duration_s"], speech_upload["facts"]["face_box"]) == (
        "ready",
        2.5,
        None,
    )
    assert portrait_upload["facts"]["face_box"] == {"left": 10, "top": 20, "right": 110, "bottom": 140}
    assert speech_upload["facts"]["faces"] == speech_upload["facts"]["warnings"] == []
    first, second = portrait_upload["facts"]["faces"]
    assert (first["box"], first["tilt_deg"], first["error"]) == (portrait_upload["facts"]["face_box"], 25.0, None)
    assert second["error"] == {"code": "face_profile", "detail": "The face is seen from the side."}
    assert [one["code"] for one in portrait_upload["facts"]["warnings"]] == ["tilted", "several_faces"]
    assert speech_upload["error"] is portrait_upload["error"] is None


def test_a_rejected_upload_has_its_error(client: TestClient, prober: Prober) -> None:
    upload_id = prober.rejected("portrait", "no_face", "No face was found.")
    shown = client.get(f"/v1/uploads/{upload_id}").json()
    assert (shown["state"], shown["facts"]) == ("rejected", None)
    assert shown["error"] == {"code": "no_face", "detail": "No face was found."}


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        *(("portrait", kind) for kind in ("image/jpeg", "image/png", "image/webp", "IMAGE/PNG; q=1")),
        *(("speech", kind) for kind in ("audio/wav", "audio/mpeg", "audio/flac", "audio/ogg", "audio/mp4")),
        *(("speech", kind) for kind in ("audio/aac", "audio/x-m4a", "application/ogg")),
    ],
)
def test_common_content_types_are_accepted(client: TestClient, kind: str, content_type: str) -> None:
    created = declare(client, kind=kind, content_type=content_type)
    assert created["put"]["headers"]["Content-Type"] == created["content_type"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"content_type": "image/png"}, 422, "wrong_content_type"),
        ({"content_type": "video/quicktime"}, 422, "wrong_content_type"),
        ({"content_type": "audio/wav\r\nX-Evil: 1"}, 422, "wrong_content_type"),
        ({"content_type": "\x00"}, 422, "wrong_content_type"),
        ({"kind": "portrait", "content_type": "image/svg+xml"}, 422, "wrong_content_type"),
        ({"size_bytes": 0}, 422, "empty_upload"),
        ({"size_bytes": -5}, 422, "empty_upload"),
        ({"size_bytes": 10**12}, 413, "upload_too_large"),
        ({"size_bytes": 10**40}, 413, "upload_too_large"),
        ({"size_bytes": "many"}, 422, "invalid_request"),
        ({"kind": "video"}, 422, "invalid_request"),
        ({"file_name": "../../etc/passwd"}, 422, "invalid_request"),
    ],
)
def test_an_unusable_file_is_rejected_before_it_is_sent(
    client: TestClient, fields: dict[str, Any], status: int, code: str
) -> None:
    request = {"kind": "speech", "content_type": "audio/wav", "size_bytes": 10, **fields}
    response = client.post("/v1/uploads", json=request)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_an_upload_is_not_found_for_another_tenant(client: TestClient, stranger: TestClient) -> None:
    created = declare(client)
    put(created)
    for response in (
        stranger.get(f"/v1/uploads/{created['id']}"),
        stranger.post(f"/v1/uploads/{created['id']}/complete"),
        stranger.delete(f"/v1/uploads/{created['id']}"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert client.get(f"/v1/uploads/{created['id']}").json()["state"] == "pending"


def test_an_unavailable_bucket_is_reported(services: Services, key: str, unavailable_bucket: BucketSettings) -> None:
    unavailable = replace(services, objects=Objects(unavailable_bucket))
    with TestClient(create_app(unavailable), headers={"Authorization": f"Bearer {key}"}) as client:
        created = declare(client)
        response = client.post(f"/v1/uploads/{created['id']}/complete")
    assert (response.status_code, response.json()["code"]) == (503, "storage_unavailable")
    assert "retry-after" in response.headers
