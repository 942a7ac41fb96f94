"""Deleted objects are removed from the API, from the tables and from the bucket."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.errors import LeaseLostError
from dubline.orchestration.domain.jobs import Stage

if TYPE_CHECKING:
    from httpx2 import Response
    from starlette.testclient import TestClient
    from tests.integration.api.conftest import Files, Prober, Renderer

    from dubline.api.services import Services


@pytest.fixture
def row(prober: Prober) -> dict[str, Any]:
    return {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}


def created(response: Response) -> str:
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def deleted(response: Response) -> UUID:
    """Check the response of a deletion; return the id of its audit entry."""
    assert (response.status_code, response.content) == (204, b"")
    return UUID(response.headers["dubline-audit"])


def rows_of(services: Services) -> dict[str, int]:
    with transaction(services.store._engine) as session:
        tables = ("uploads", "batches", "jobs", "attempts", "checkpoints")
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in tables}  # noqa: S608


def test_a_deleted_upload_is_removed_with_its_file(
    client: TestClient, prober: Prober, services: Services, files: Files
) -> None:
    upload_id = prober.ready("portrait")
    key = files.put_upload(upload_id)
    deleted(client.delete(f"/v1/uploads/{upload_id}"))
    assert client.get(f"/v1/uploads/{upload_id}").status_code == 404
    assert client.delete(f"/v1/uploads/{upload_id}").json()["code"] == "not_found"
    assert rows_of(services)["uploads"] == 0
    files.clean()
    assert not files.has(key)


def test_an_upload_is_kept_while_a_job_uses_it(client: TestClient, row: dict[str, Any], files: Files) -> None:
    job_id = created(client.post("/v1/jobs", json=row))
    path = f"/v1/uploads/{row['speech_upload_id']}"
    key = files.put_upload(row["speech_upload_id"])
    refused = client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_in_use")
    files.clean()
    assert client.get(path).json()["state"] == "ready"
    assert files.has(key)
    client.post(f"/v1/jobs/{job_id}/cancel")
    deleted(client.delete(path))
    files.clean()
    assert not files.has(key)
    assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"


def test_a_deleted_job_is_removed_with_its_video_but_not_its_uploads(
    client: TestClient,
    row: dict[str, Any],
    services: Services,
    renderer: Renderer,
    files: Files,
) -> None:
    job_id = created(client.post("/v1/jobs", json=row))
    key = files.put_result(renderer.claim(job_id))
    speech = files.put_upload(row["speech_upload_id"])
    deleted(client.delete(f"/v1/jobs/{job_id}"))
    for response in (
        client.get(f"/v1/jobs/{job_id}"),
        client.post(f"/v1/jobs/{job_id}/cancel"),
        client.delete(f"/v1/jobs/{job_id}"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert rows_of(services) == {"uploads": 2, "batches": 0, "jobs": 0, "attempts": 0, "checkpoints": 0}
    files.clean()
    assert (files.has(key), files.has(speech)) == (False, True)


def test_deleting_a_running_job_stops_it(
    client: TestClient, row: dict[str, Any], services: Services, renderer: Renderer
) -> None:
    lease = renderer.claim(created(client.post("/v1/jobs", json=row)))
    deleted(client.delete(f"/v1/jobs/{lease.job_id}"))
    with pytest.raises(LeaseLostError):
        services.store.leases.progress(lease, Stage.RENDERING, 50.0)
    with pytest.raises(LeaseLostError):
        renderer.finish(lease, size_bytes=5, duration_s=2.5)
    assert client.get(f"/v1/jobs/{lease.job_id}").status_code == 404


def test_deleting_a_job_of_a_batch_keeps_the_other_jobs(client: TestClient, row: dict[str, Any]) -> None:
    path = f"/v1/batches/{created(client.post('/v1/batches', json={'jobs': [row] * 3}))}"
    first, second, third = (job["id"] for job in client.get(f"{path}/jobs").json()["data"])
    deleted(client.delete(f"/v1/jobs/{second}"))
    assert client.get(path).json()["job_count"] == 2
    page = client.get(f"{path}/jobs", params={"limit": 1}).json()
    rest = client.get(f"{path}/jobs", params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert [job["id"] for job in page["data"] + rest["data"]] == [first, third]
    assert client.post(f"{path}/cancel").json()["finished"] is True


def test_a_deleted_batch_is_removed_with_its_videos_only(
    client: TestClient,
    row: dict[str, Any],
    services: Services,
    renderer: Renderer,
    files: Files,
) -> None:
    path = f"/v1/batches/{created(client.post('/v1/batches', json={'jobs': [row] * 3}))}"
    first, second, _ = (job["id"] for job in client.get(f"{path}/jobs").json()["data"])
    key = files.put_result(renderer.claim(first))
    running = renderer.claim(second)
    deleted(client.delete(path))
    for response in (
        client.get(path),
        client.get(f"{path}/jobs"),
        client.post(f"{path}/cancel"),
        client.delete(path),
        client.get(f"/v1/jobs/{first}"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert rows_of(services) == {"uploads": 2, "batches": 0, "jobs": 0, "attempts": 0, "checkpoints": 0}
    with pytest.raises(LeaseLostError):
        services.store.leases.renew(running, 60)
    files.clean()
    assert not files.has(key)


def test_a_batch_deleted_with_inputs_keeps_uploads_of_other_jobs(
    client: TestClient, prober: Prober, row: dict[str, Any], files: Files
) -> None:
    shared, own = row["portrait_upload_id"], row["speech_upload_id"]
    other = {**row, "speech_upload_id": prober.ready("speech")}
    keys = {upload_id: files.put_upload(upload_id) for upload_id in (shared, own)}
    client.post("/v1/jobs", json=other)
    batch_id = created(client.post("/v1/batches", json={"jobs": [row, row]}))
    deleted(client.delete(f"/v1/batches/{batch_id}", params={"inputs": True}))
    assert client.get(f"/v1/uploads/{own}").status_code == 404
    assert client.get(f"/v1/uploads/{shared}").json()["state"] == "ready"
    files.clean()
    assert (files.has(keys[own]), files.has(keys[shared])) == (False, True)


@pytest.mark.parametrize("inputs", ["", "perhaps", "2"])
def test_a_deletion_with_an_invalid_inputs_parameter_is_rejected(
    client: TestClient, row: dict[str, Any], inputs: str
) -> None:
    path = f"/v1/batches/{created(client.post('/v1/batches', json={'jobs': [row]}))}"
    response = client.delete(path, params={"inputs": inputs})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert client.get(path).status_code == 200


def test_the_audit_entry_has_the_key_and_the_time_of_file_removal(  # noqa: PLR0913, PLR0917 - fixtures
    client: TestClient,
    row: dict[str, Any],
    services: Services,
    renderer: Renderer,
    files: Files,
    key: str,
    tenant: str,
) -> None:
    job_id = UUID(created(client.post("/v1/jobs", json=row)))
    files.put_result(renderer.claim(job_id))
    audit_id = deleted(client.delete(f"/v1/jobs/{job_id}"))
    (entry,) = services.store.deletions.audit(tenant, job_id)
    assert (entry.id, entry.subject_kind, entry.subject_id, entry.objects) == (audit_id, "job", job_id, 1)
    assert entry.actor == f"key:{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    assert entry.completed_at is None
    files.clean()
    (entry,) = services.store.deletions.audit(tenant, job_id)
    assert entry.completed_at is not None
    assert services.store.deletions.audit("globex", job_id) == ()


def test_an_expired_video_is_removed_and_marked_in_its_job(
    client: TestClient,
    row: dict[str, Any],
    services: Services,
    renderer: Renderer,
    files: Files,
) -> None:
    request = {"jobs": [row], "retention": {"results_s": 3600}}
    path = f"/v1/batches/{created(client.post('/v1/batches', json=request))}"
    assert client.get(path).json()["retention"] == {"inputs_s": None, "results_s": 3600}
    (job,) = client.get(f"{path}/jobs").json()["data"]
    key = files.put_result(renderer.claim(job["id"]))
    services.store.deletions.expire()
    assert client.get(f"/v1/jobs/{job['id']}").json()["result"]
    with transaction(services.store._engine) as session:
        statement = "UPDATE jobs SET results_expire_at = results_expire_at - interval '3601 seconds'"
        session.execute(text(statement))
    services.store.deletions.expire()
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    assert (shown["state"], shown["result"], shown["percent"]) == ("succeeded", None, 100)
    assert shown["result_deleted_at"]
    files.clean()
    assert not files.has(key)
