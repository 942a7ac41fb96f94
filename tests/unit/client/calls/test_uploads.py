"""Files that change while they are sent, and URLs that expire before."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.service import KEY, URL, Service

from dubline.client.calls import uploads
from dubline.client.calls.hashes import file_sha256
from dubline.client.calls.transport import Transport
from dubline.client.client import Client
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PUT = "PUT /upload-0"
CHANGED = "face.jpg has changed while it was sent"


@pytest.mark.parametrize("content", [b"a fake", b"another face"])
def test_a_file_that_changes_before_it_is_sent_is_not_taken_for_the_former_one(
    client: Client, media: Path, content: bytes
) -> None:
    hashed = file_sha256(media / "face.jpg")
    (media / "face.jpg").write_bytes(content)
    with pytest.raises(ClientError, match=CHANGED):
        client.uploads.send(media / "face.jpg", "portrait", hashed)


def test_a_file_whose_length_changes_while_it_is_sent_is_named(service: Service, media: Path) -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        response = service.respond(request)
        if request.url.path != "/v1/uploads":
            return response
        (media / "face.jpg").write_bytes(b"another face")
        declared = response.json()
        # As the server signs the length that was declared.
        declared["put"]["headers"]["Content-Length"] = str(len(b"a face"))
        return httpx2.Response(201, json=declared)

    with Client(URL, KEY, httpx2.MockTransport(respond)) as client, pytest.raises(ClientError, match=CHANGED):
        client.uploads.send(media / "face.jpg", "portrait")
    assert PUT not in service.calls


class Reader(httpx2.BaseTransport):
    """A bucket that receives one part of a file, and then the rest."""

    def __init__(self, at_first: Callable[[], object]) -> None:
        self._at_first = at_first

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.SyncByteStream)
        parts = iter(request.stream)
        received = len(next(parts))
        self._at_first()
        received += sum(map(len, parts))
        assert received == int(request.headers["Content-Length"])
        return httpx2.Response(200)


@pytest.mark.parametrize("length", [200_000, 400_000])
def test_a_file_whose_length_changes_after_its_first_part_is_named(length: int, tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(bytes(300_000))
    transport = Transport(URL, KEY, Event(), Reader(partial(os.truncate, path, length)))
    with closing(transport), pytest.raises(ClientError, match=CHANGED):
        transport.put_file("http://bucket/key", {}, path)


def test_a_file_is_sent_again_if_an_earlier_run_has_sent_another_one(
    service: Service, client: Client, media: Path
) -> None:
    wanted = (media / "face.jpg").read_bytes()
    service.faults["POST /v1/uploads/upload-0/complete"] = [httpx2.Response(400, json={"code": "no", "detail": "No."})]
    with pytest.raises(ClientError, match=r"No\."):
        client.uploads.send(media / "face.jpg", "portrait")
    service.uploads["upload-0"]["bytes"] = b"a fake"
    service.faults[PUT] = [httpx2.Response(412)]
    sent = client.uploads.send(media / "face.jpg", "portrait")
    assert (sent.id, sent.state, service.uploads[sent.id]["bytes"]) == ("upload-1", "ready", wanted)


def test_a_url_that_expires_during_an_outage_is_renewed(
    service: Service, client: Client, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.faults[PUT] = [httpx2.Response(403)]
    with pytest.raises(ClientError, match=r"rejected face\.jpg: HTTP 403"):
        client.uploads.send(media / "face.jpg", "portrait")
    monkeypatch.setattr(uploads, "URL_FRESH_S", -1.0)
    service.faults[PUT] = [httpx2.Response(403)]
    assert client.uploads.send(media / "face.jpg", "portrait").state == "ready"
    service.uploads.clear()
    service.made.clear()
    service.faults[PUT] = [httpx2.Response(403), httpx2.Response(403)]
    with pytest.raises(ClientError, match=r"rejected face\.jpg: HTTP 403"):
        client.uploads.send(media / "face.jpg", "portrait")
