from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.service import KEY, URL, VIDEO, Service, problem

from dubline.client.calls import transport
from dubline.client.calls.backoff import TRIES
from dubline.client.calls.batches import Retention
from dubline.client.calls.jobs import NewJob
from dubline.client.client import Client
from dubline.client.errors import ClientError, RefusedError, StoppedError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

NEW = NewJob(portrait_upload_id="p", speech_upload_id="s")
BUSY = 503


def busy(count: int) -> list[httpx2.Response | Exception]:
    return [problem(BUSY, "storage_unavailable", "Later.") for _ in range(count)]


def lost(count: int) -> list[httpx2.Response | Exception]:
    return [httpx2.ReadTimeout("slow") for _ in range(count)]


def unreachable(count: int) -> list[httpx2.Response | Exception]:
    return [httpx2.ConnectError("refused") for _ in range(count)]


@pytest.mark.parametrize("fault", [busy, lost, unreachable])
def test_what_may_be_repeated_is_repeated(fault: type, service: Service, client: Client) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "failed"}
    service.faults["GET /v1/jobs/job-0"] = fault(TRIES - 1)
    assert client.jobs.get("job-0").state == "failed"
    assert len(service.calls) == TRIES


def test_it_gives_up_after_some_tries(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/job-0"] = unreachable(TRIES)
    with pytest.raises(UnreachableError, match=r"dubline up"):
        client.jobs.get("job-0")
    service.faults["GET /v1/jobs/job-0"] = busy(TRIES)
    with pytest.raises(RefusedError, match="Later"):
        client.jobs.get("job-0")


def test_a_job_is_never_asked_for_twice_when_the_first_call_may_have_arrived(service: Service, client: Client) -> None:
    service.uploads |= {"p": {}, "s": {}}
    service.faults["POST /v1/jobs"] = lost(1)
    with pytest.raises(UnreachableError):
        client.jobs.create(NEW)
    service.faults["POST /v1/jobs"] = unreachable(2)
    client.jobs.create(NEW)
    assert len(service.jobs) == 1


def test_a_repeated_batch_keeps_its_key_and_is_made_once(service: Service, client: Client) -> None:
    service.uploads |= {"p": {}, "s": {}}
    service.faults["POST /v1/batches"] = [*lost(2), *busy(1)]
    client.batches.create([NEW])
    client.batches.create([NEW])
    keys = [request.headers["Idempotency-Key"] for request in service.requests]
    assert len(keys) == 5
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[0]


def test_what_is_left_out_of_a_batch_is_left_to_the_server(service: Service, client: Client) -> None:
    service.uploads |= {"p": {}, "s": {}}
    client.batches.create([NEW])
    new = NewJob(portrait_upload_id="p", speech_upload_id="s", deadline_s=90.5)
    client.batches.create([new], retention=Retention(results_s=3600))
    plain, ruled = (json.loads(request.read()) for request in service.requests)
    assert set(plain) == {"jobs"}
    assert "deadline_s" not in plain["jobs"][0]
    assert (ruled["retention"], ruled["jobs"][0]["deadline_s"]) == ({"results_s": 3600}, 90.5)


def test_cancelling_is_repeated_until_it_is_answered(service: Service, client: Client) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "running"}
    service.faults["POST /v1/jobs/job-0/cancel"] = [*lost(1), *busy(1)]
    assert client.jobs.cancel("job-0").state == "cancelled"


def test_a_deletion_gives_the_id_of_its_audit_entry(service: Service, client: Client) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    service.uploads["upload-0"] = {"id": "upload-0"}
    service.batches["key"] = "batch-0"
    assert client.uploads.delete("upload-0") == "audit-of-upload-0"
    assert client.jobs.delete("job-0") == "audit-of-job-0"
    assert client.batches.delete("batch-0", inputs=True) == "audit-of-batch-0"
    assert service.requests[-1].url.query == b"inputs=true"
    assert service.uploads == service.jobs == service.batches == {}


def test_deleting_what_is_not_there_is_refused(client: Client) -> None:
    with pytest.raises(RefusedError) as caught:
        client.jobs.delete("job-0")
    assert caught.value.code == "not_found"


def test_a_deletion_whose_answer_was_lost_is_done_when_it_is_repeated(service: Service) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    answered = service.answer

    def lose_the_first(request: httpx2.Request) -> httpx2.Response:
        answer = answered(request)
        if len(service.calls) == 1:
            raise httpx2.ReadTimeout("slow")
        return answer

    with Client(URL, KEY, httpx2.MockTransport(lose_the_first)) as unlucky:
        assert unlucky.jobs.delete("job-0") is None
    assert service.calls == ["DELETE /v1/jobs/job-0"] * 2


def test_an_upload_in_use_is_refused_with_its_code(service: Service, client: Client) -> None:
    service.faults["DELETE /v1/uploads/u"] = [problem(409, "upload_in_use", "A job needs it.")]
    with pytest.raises(RefusedError, match="A job needs it") as caught:
        client.uploads.delete("u")
    assert caught.value.code == "upload_in_use"


def test_a_video_that_was_deleted_is_said_to_be(service: Service, client: Client, tmp_path: Path) -> None:
    job = {"id": "job-0", "state": "failed", "result_deleted_at": "2026-01-01T00:00:00Z"}
    service.jobs["job-0"] = job
    with pytest.raises(ClientError, match="it was deleted at 2026-01-01"):
        client.jobs.download("job-0", tmp_path / "video.mp4")


def test_a_refusal_carries_its_code_and_the_faults_of_rows(service: Service, client: Client) -> None:
    errors = [{"pointer": "#/jobs/0/preset", "code": "unknown_preset", "detail": "There is no preset 'x'."}]
    body = {"code": "invalid_batch", "detail": "Rows are wrong.", "errors": errors}
    service.faults["POST /v1/batches"] = [httpx2.Response(422, json=body)]
    with pytest.raises(RefusedError, match="no preset 'x'") as caught:
        client.batches.create([NEW])
    assert (caught.value.code, caught.value.status) == ("invalid_batch", 422)


def test_a_refusal_that_is_no_problem_document_is_still_a_sentence(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [httpx2.Response(403, text="<html>")]
    with pytest.raises(RefusedError, match="HTTP 403"):
        client.jobs.get("x")


def test_a_wrong_key_is_named(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [problem(401, "unauthorized", "No.")]
    with pytest.raises(RefusedError, match="DUBLINE_API_KEY"):
        client.jobs.get("x")


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"id": 7}'])
def test_another_kind_of_server_is_told_from_ours(content: bytes, service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [httpx2.Response(200, content=content)]
    with pytest.raises(ClientError, match="not as a Dubline server"):
        client.jobs.get("x")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://x:y"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ClientError, match="no address"):
        Client(url, KEY)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ClientError, match="characters"):
        Client(URL, "k\n")


def test_a_closed_client_gives_up_waiting(service: Service, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "before_retry_s", lambda *_: 3600.0)
    service.faults["GET /v1/jobs/x"] = busy(1)
    client.stop_waiting()
    with pytest.raises(StoppedError):
        client.jobs.get("x")


def test_a_download_appears_under_its_name_only_when_it_is_whole(
    service: Service, client: Client, tmp_path: Path
) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    target = tmp_path / "deep" / "video.mp4"
    service.faults["GET /job-0.mp4"] = [httpx2.Response(403)]
    with pytest.raises(ClientError, match="HTTP 403"):
        client.jobs.download("job-0", target)
    assert list(target.parent.iterdir()) == []
    client.jobs.download("job-0", target)
    assert [file.name for file in target.parent.iterdir()] == ["video.mp4"]
    assert target.read_bytes() == VIDEO


def test_a_folder_that_cannot_be_written_gives_a_sentence(client: Client, service: Service, tmp_path: Path) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    (tmp_path / "file").touch()
    with pytest.raises(ClientError, match="Cannot write"):
        client.jobs.download("job-0", tmp_path / "file" / "video.mp4")
