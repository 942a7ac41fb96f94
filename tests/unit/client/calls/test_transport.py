from __future__ import annotations

import contextlib
import json
import ssl
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.unit.client.service import KEY, URL, VIDEO, Service, problem

from dubline.client.calls import transport
from dubline.client.calls.backoff import MAX_TRIES
from dubline.client.calls.batches import Retention
from dubline.client.calls.jobs import NewJob
from dubline.client.client import Client
from dubline.client.errors import ClientError, RefusedError, StoppedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW = NewJob(portrait_upload_id="p", speech_upload_id="s")
BUSY = 503


Faults = list[httpx2.Response | Exception]


def limited(count: int) -> Faults:
    return [problem(429, "rate_limited", "Later.") for _ in range(count)]


def busy(count: int) -> Faults:
    return [problem(BUSY, "storage_unavailable", "Later.") for _ in range(count)]


def lost(count: int) -> Faults:
    return [httpx2.ReadTimeout("slow") for _ in range(count)]


def unreachable(count: int) -> Faults:
    return [httpx2.ConnectError("refused") for _ in range(count)]


@pytest.mark.parametrize("fault", [busy, lost, unreachable])
def test_idempotent_calls_are_retried(fault: type, service: Service, client: Client) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "failed"}
    service.faults["GET /v1/jobs/job-0"] = fault(MAX_TRIES - 1)
    assert client.jobs.get("job-0").state == "failed"
    assert len(service.calls) == MAX_TRIES


@pytest.mark.parametrize(("fault", "tries"), [(lost, 1), (busy, 1), (unreachable, 2), (limited, 2)])
def test_a_key_is_created_again_only_if_the_call_was_not_received(
    service: Service, client: Client, fault: Callable[[int], Faults], tries: int
) -> None:
    made = httpx2.Response(201, json={"id": "1", "scopes": [], "created_at": "2026-01-01T00:00:00Z", "key": "k"})
    service.faults["POST /v1/keys"] = [*fault(1), made]
    with contextlib.suppress(ClientError):
        client.administration.create_key([], None)
    assert len(service.calls) == tries


def test_a_call_fails_after_the_last_try(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/job-0"] = unreachable(MAX_TRIES)
    with pytest.raises(UnreachableError, match=r"dubline up"):
        client.jobs.get("job-0")
    service.faults["GET /v1/jobs/job-0"] = busy(MAX_TRIES)
    with pytest.raises(RefusedError, match="Later"):
        client.jobs.get("job-0")


def test_retries_of_a_job_share_one_idempotency_key(service: Service, client: Client) -> None:
    service.uploads |= {"p": {}, "s": {}}
    respond = service.respond

    def lose_first(request: httpx2.Request) -> httpx2.Response:
        response = respond(request)
        if len(service.calls) == 1:
            raise httpx2.ReadTimeout("slow")
        return response

    with Client(client.url, KEY, httpx2.MockTransport(lose_first)) as losing:
        losing.jobs.create(NEW)
    assert len(service.jobs) == 1
    client.jobs.create(NEW)
    keys = [request.headers["Idempotency-Key"] for request in service.requests]
    assert (keys[0] == keys[1], len(set(keys)), len(service.jobs)) == (True, 2, 2)


def test_retries_of_a_batch_share_one_idempotency_key(service: Service, client: Client) -> None:
    service.uploads |= {"p": {}, "s": {}}
    service.faults["POST /v1/batches"] = [*lost(2), *busy(1)]
    client.batches.create([NEW])
    client.batches.create([NEW])
    keys = [request.headers["Idempotency-Key"] for request in service.requests]
    assert len(keys) == 5
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[0]


def test_options_that_are_not_set_are_not_sent(service: Service, client: Client) -> None:
    service.uploads |= {"p": {}, "s": {}}
    client.batches.create([NEW])
    new = NewJob(portrait_upload_id="p", speech_upload_id="s", deadline_s=90.5)
    client.batches.create([new], retention=Retention(results_s=3600))
    plain, full = (json.loads(request.read()) for request in service.requests)
    assert set(plain) == {"jobs"}
    assert "deadline_s" not in plain["jobs"][0]
    assert (full["retention"], full["jobs"][0]["deadline_s"]) == ({"results_s": 3600}, 90.5)


def test_cancelling_a_job_is_retried(service: Service, client: Client) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "running"}
    service.faults["POST /v1/jobs/job-0/cancel"] = [*lost(1), *busy(1)]
    assert client.jobs.cancel("job-0").state == "cancelled"


def test_a_deletion_returns_the_id_of_its_audit_entry(service: Service, client: Client) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    service.uploads["upload-0"] = {"id": "upload-0"}
    service.batches["key"] = "batch-0"
    assert client.uploads.delete("upload-0") == "audit-of-upload-0"
    assert client.jobs.delete("job-0") == "audit-of-job-0"
    assert client.batches.delete("batch-0", inputs=True) == "audit-of-batch-0"
    assert service.requests[-1].url.query == b"inputs=true"
    assert service.uploads == service.jobs == service.batches == {}


def test_deleting_a_missing_job_is_an_error(client: Client) -> None:
    with pytest.raises(RefusedError) as caught:
        client.jobs.delete("job-0")
    assert caught.value.code == "not_found"


def test_a_deletion_whose_response_was_lost_succeeds_on_retry(service: Service) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    respond = service.respond

    def lose_first(request: httpx2.Request) -> httpx2.Response:
        response = respond(request)
        if len(service.calls) == 1:
            raise httpx2.ReadTimeout("slow")
        return response

    with Client(URL, KEY, httpx2.MockTransport(lose_first)) as client:
        assert client.jobs.delete("job-0") is None
    assert service.calls == ["DELETE /v1/jobs/job-0"] * 2


def test_deleting_an_upload_in_use_is_rejected_with_its_code(service: Service, client: Client) -> None:
    service.faults["DELETE /v1/uploads/u"] = [problem(409, "upload_in_use", "A job needs it.")]
    with pytest.raises(RefusedError, match="A job needs it") as caught:
        client.uploads.delete("u")
    assert caught.value.code == "upload_in_use"


def test_downloading_a_deleted_video_is_reported(service: Service, client: Client, tmp_path: Path) -> None:
    job = {"id": "job-0", "state": "failed", "result_deleted_at": "2026-01-01T00:00:00Z"}
    service.jobs["job-0"] = job
    with pytest.raises(ClientError, match="it was deleted at 2026-01-01"):
        client.jobs.download("job-0", tmp_path / "video.mp4")


def test_a_rejection_has_its_code_and_the_faults_of_rows(service: Service, client: Client) -> None:
    errors = [{"pointer": "#/jobs/0/preset", "code": "unknown_preset", "detail": "There is no preset 'x'."}]
    body = {"code": "invalid_batch", "detail": "Rows are wrong.", "errors": errors}
    service.faults["POST /v1/batches"] = [httpx2.Response(422, json=body)]
    with pytest.raises(RefusedError, match="no preset 'x'") as caught:
        client.batches.create([NEW])
    assert (caught.value.code, caught.value.status) == ("invalid_batch", 422)


def test_a_rejection_without_a_problem_document_is_reported(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [httpx2.Response(403, text="<html>")]
    with pytest.raises(RefusedError, match="HTTP 403"):
        client.jobs.get("x")


def test_a_wrong_key_is_reported_with_its_variable(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [problem(401, "unauthorized", "No.")]
    with pytest.raises(RefusedError, match="DUBLINE_API_KEY"):
        client.jobs.get("x")


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"id": 7}'])
def test_a_response_of_another_server_is_reported(content: bytes, service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [httpx2.Response(200, content=content)]
    with pytest.raises(ClientError, match="not that of a Dubline server"):
        client.jobs.get("x")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"[]",
        b'{"detail": []}',
        b'{"code": 1, "detail": null}',
        b'{"code": "a", "detail": "b", "errors": [1]}',
    ],
)
def test_an_error_of_another_server_is_reported(content: bytes, service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/x"] = [httpx2.Response(404, content=content)]
    with pytest.raises(
        RefusedError, match=r"HTTP 404 from .+, not in the form of a Dubline server\. Check DUBLINE_URL\."
    ):
        client.jobs.get("x")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x"])
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(ClientError, match="is not the URL"):
        Client(url, KEY)


def test_a_key_with_invalid_characters_is_rejected() -> None:
    with pytest.raises(ClientError, match="characters"):
        Client(URL, "k\n")


@pytest.mark.parametrize("reads", ["the API", "the bucket"])
def test_a_response_that_cannot_be_unpacked_is_reported(
    service: Service, client: Client, tmp_path: Path, reads: str
) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    line = "GET /v1/jobs/job-0" if reads == "the API" else "GET /job-0.mp4"
    packed = {"Content-Encoding": "gzip"}
    service.faults[line] = [httpx2.Response(200, headers=packed, stream=httpx2.ByteStream(b"<html>"))]
    with pytest.raises(ClientError, match="cannot be unpacked"):
        client.jobs.download("job-0", tmp_path / "video.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_url_of_the_bucket_that_is_none_is_reported(service: Service, client: Client, tmp_path: Path) -> None:
    result = {"url": "http://[::1/job-0.mp4", "size_bytes": 1}
    job = {"id": "job-0", "state": "succeeded", "result": result}
    service.faults["GET /v1/jobs/job-0"] = [httpx2.Response(200, json=job) for _ in range(2)]
    with pytest.raises(ClientError, match="not valid HTTP"):
        client.jobs.download("job-0", tmp_path / "video.mp4")


def test_a_closed_client_stops_waiting(service: Service, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "retry_delay_s", lambda *_: 3600.0)
    service.faults["GET /v1/jobs/x"] = busy(1)
    client.stop_waiting()
    with pytest.raises(StoppedError):
        client.jobs.get("x")


def test_a_download_is_renamed_only_when_it_is_complete(service: Service, client: Client, tmp_path: Path) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    target = tmp_path / "deep" / "video.mp4"
    service.faults["GET /job-0.mp4"] = [httpx2.Response(403)]
    with pytest.raises(ClientError, match="HTTP 403"):
        client.jobs.download("job-0", target)
    assert list(target.parent.iterdir()) == []
    client.jobs.download("job-0", target)
    assert [file.name for file in target.parent.iterdir()] == ["video.mp4"]
    assert target.read_bytes() == VIDEO


def test_a_path_that_cannot_be_written_is_reported(client: Client, service: Service, tmp_path: Path) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    (tmp_path / "file").touch()
    with pytest.raises(ClientError, match="Cannot write"):
        client.jobs.download("job-0", tmp_path / "file" / "video.mp4")


def test_certificates_are_read_once_for_both_http_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = []
    make = httpx2.Client

    def client(**options: Any) -> httpx2.Client:
        # A client that only tries the proxies of the environment has none.
        contexts.extend(filter(None, [options["verify"]]))
        return make(**options)

    monkeypatch.setattr(httpx2, "Client", client)
    Client(URL, KEY).close()
    assert len(contexts) == 2
    assert isinstance(contexts[0], ssl.SSLContext)
    assert contexts[0] is contexts[1]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("localhost:8000", "must start with http"),
        ("http://", "no host"),
        ("http://[::1", "a wrong host or port"),
        ("http://host:99999", "a wrong host or port"),
        ("http://user:hunter2@host:y", "a wrong host or port"),
        (" http://host:8000", "a blank at its beginning or end"),
        ("http://host:8000\n", "a blank at its beginning or end"),
        ("http://host:8000/v1", "an address below that of a server"),
        ("http://host:8000/docs", "an address below that of a server"),
        ("http://host:8000?x=1", "an address below that of a server"),
        ("http://user:hunter2@host:8000", "has a user or a password"),
    ],
)
def test_a_wrong_url_is_refused_without_a_request(url: str, fault: str) -> None:
    with pytest.raises(ClientError, match=fault) as caught:
        Client(url, KEY)
    assert "hunter2" not in str(caught.value)


def test_an_id_with_any_characters_names_no_other_resource(service: Service, client: Client) -> None:
    missing = problem(404, "not_found", "There is none.")
    for typed in ("../uploads/7", "7?inputs=true", "\udcff", "a b"):
        service.faults = {line: [missing] for line in (f"GET /v1/jobs/{typed}", "GET /v1/jobs/\ufffd")}
        with pytest.raises(RefusedError, match="There is none"):
            client.jobs.get(typed)
    assert [request.url.raw_path for request in service.requests] == [
        b"/v1/jobs/..%2Fuploads%2F7",
        b"/v1/jobs/7%3Finputs%3Dtrue",
        b"/v1/jobs/%FF",
        b"/v1/jobs/a%20b",
    ]


def test_the_sentence_of_a_single_fault_is_shown_once(service: Service, client: Client) -> None:
    fault = {"pointer": "#/seed", "code": "too_big", "detail": "Too big."}
    body = {"code": "invalid_request", "detail": "#/seed: Too big.", "errors": [fault]}
    service.faults["GET /v1/jobs/job-0"] = [httpx2.Response(422, json=body)]
    with pytest.raises(RefusedError, match=r"^#/seed: Too big. \[invalid_request\]$"):
        client.jobs.get("job-0")


def test_a_wrong_path_of_the_url_is_named(service: Service) -> None:
    missing = problem(404, "no_such_path", "There is no route with this path.")
    calls = ("GET /foo/v1/jobs/job-0", "DELETE /foo/v1/jobs/job-0", "GET /foo/v1/limits")
    service.faults = {line: [missing] for line in calls}
    with Client(f"{URL}/foo/", KEY, service.transport()) as client:
        for call in (lambda: client.jobs.get("job-0"), lambda: client.jobs.delete("job-0"), client.limits):
            with pytest.raises(ClientError, match=r"no API below the path /foo of DUBLINE_URL\.") as caught:
                call()
            assert not isinstance(caught.value, RefusedError), "it is no unknown id, and no earlier version"


def test_without_a_path_in_the_url_an_unknown_path_is_that_of_another_version(service: Service, client: Client) -> None:
    service.faults["GET /v1/limits"] = [problem(404, "no_such_path", "There is no route with this path.")]
    with pytest.raises(RefusedError, match=r"no route with this path\. \[no_such_path\]"):
        client.limits()
