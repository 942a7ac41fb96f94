"""Batches that the command line continues, and downloads, against the API and the bucket."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from dubline.api.app import create_app
from dubline.client import exit_codes
from dubline.client.cli import commands
from dubline.client.client import Client
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from dubline.api.services import Services

VIDEO = b"not really a video"
FACE, HELLO = b"a face", b"hello"


class Service:
    """The API and the bucket as the command line reaches them; files are checked and jobs rendered at once.

    Attributes:
        requests: method and path of each request.
        puts: status of each PUT.
        lost: method and path of a request whose response is lost because the command is interrupted; `PUT` is any.
    """

    def __init__(self, server: TestClient, services: Services, video: Path) -> None:
        self.requests: list[str] = []
        self.puts: list[int] = []
        self.lost = ""
        self._server, self._services, self._video = server, services, video
        self._bucket = httpx2.HTTPTransport()
        video.write_bytes(VIDEO)

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        line = f"{request.method} {request.url.path}"
        self.requests.append(line)
        if request.url.host != "testserver":
            response = self._bucket.handle_request(request)
            if request.method == "PUT":
                self.puts.append(response.status_code)
                self._lose("PUT")
            return response
        answer = self._server.request(
            request.method, str(request.url), headers=dict(request.headers), content=request.content
        )
        if line.endswith("/complete"):
            self._probe()
        if line == "POST /v1/batches":
            self._render()
        self._lose(line)
        return httpx2.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

    def _lose(self, line: str) -> None:
        if line == self.lost:
            self.lost = ""
            raise KeyboardInterrupt

    def sent(self, method: str) -> list[str]:
        """Return the paths of the requests with a method."""
        return [line.split(" ")[1] for line in self.requests if line.startswith(f"{method} ")]

    def close(self) -> None:
        self._bucket.close()

    def _probe(self) -> None:
        uploads = self._services.store.uploads
        while lease := uploads.claim("prober-1", 60):
            uploads.accept(lease, FACTS[lease.upload.kind])

    def _render(self) -> None:
        leases = self._services.store.leases
        while lease := leases.claim("renderer-1", 60):
            self._services.objects.put(self._video, lease.result_key, "video/mp4")
            leases.finish(lease, len(VIDEO), 2.0, sha256=_sha256(VIDEO))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


FACTS = {
    UploadKind.PORTRAIT: UploadFacts(
        media_type="image/png",
        size_bytes=len(FACE),
        sha256=_sha256(FACE),
        width_px=320,
        height_px=240,
        face_box=(1, 1, 9, 9),
    ),
    UploadKind.SPEECH: UploadFacts(
        media_type="audio/wav", size_bytes=len(HELLO), sha256=_sha256(HELLO), duration_s=2.0
    ),
}


@pytest.fixture
def service(services: Services, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with TestClient(create_app(services)) as server:
        one = Service(server, services, tmp_path / "video")
        monkeypatch.setattr(
            commands, "connect", lambda: Client("http://testserver", key, httpx2.MockTransport(one.respond))
        )
        yield one
        one.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a batch of two rows whose portraits are equal."""
    for name, content in {"a.jpg": FACE, "b.jpg": FACE, "hello.mp3": HELLO}.items():
        (tmp_path / name).write_bytes(content)
    rows = [{"custom_id": name, "portrait": f"{name}.jpg", "speech": "hello.mp3"} for name in ("a", "b")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def dubline(*words: object) -> Result:
    return CliRunner().invoke(commands.app, [str(word) for word in words])


@pytest.mark.parametrize("lost", ["POST /v1/uploads", "PUT", "POST /v1/batches"])
def test_a_batch_whose_response_is_lost_is_sent_once(service: Service, folder: Path, lost: str) -> None:
    words = ("batch", folder / "rows.jsonl", "--out", folder / "out")
    service.lost = lost
    interrupted = dubline(*words)
    assert interrupted.exit_code == exit_codes.INTERRUPTED
    assert "Interrupted.\nTo continue:\n" in interrupted.stderr
    assert [file.suffix for file in (folder / "out").iterdir()] == [".json"]
    done = dubline(*words)
    assert done.exit_code == 0, done.output
    assert ("an earlier run has sent it" in done.output) == (lost == "POST /v1/batches")
    assert sorted((file.name, file.read_bytes()) for file in (folder / "out").glob("[!.]*")) == [
        ("a.mp4", VIDEO),
        ("b.mp4", VIDEO),
    ]
    assert service.sent("POST").count("/v1/batches") == 1
    # Equal files are sent once. The bucket refuses a file that it has already, which counts as sent.
    assert service.puts.count(200) == 2
    assert 412 in service.puts or lost != "PUT"
    requests = len(service.requests)
    again = dubline(*words)
    assert (again.exit_code, len(service.requests)) == (0, requests), "finished videos are not rendered again"
    assert "2 of 2 videos are in the folder, unaltered, from an earlier run. Nothing is sent." in again.output


def test_finished_videos_are_downloaded_once_and_replace_nothing(service: Service, folder: Path) -> None:
    done = dubline("batch", folder / "rows.jsonl", "--out", folder / "out")
    batch = done.stdout.splitlines()[-1].removeprefix("batch ")
    out = folder / "other"
    out.mkdir()
    (out / "a.mp4").write_bytes(b"mine")
    words = ("download", batch, "--out", out)
    refused = dubline(*words)
    assert refused.exit_code == exit_codes.FAILED
    assert "a.mp4: it exists already and has other content; --force replaces it" in refused.output
    assert "1 of 2 videos are in" in refused.output
    assert [(out / name).read_bytes() for name in ("a.mp4", "b.mp4")] == [b"mine", VIDEO]

    before = len(service.requests)
    forced = dubline(*words, "--force")
    assert (forced.exit_code, (out / "a.mp4").read_bytes()) == (0, VIDEO)
    assert sum(line.endswith(".mp4") for line in service.requests[before:]) == 1, "the other one was there already"


def test_an_interrupted_download_continues_in_the_bucket(service: Service, folder: Path) -> None:
    done = dubline("batch", folder / "rows.jsonl", "--out", folder / "out")
    batch = done.stdout.splitlines()[-1].removeprefix("batch ")
    with commands.connect() as client:
        job = next(client.batches.jobs(batch))
    # The last byte is missing, so the rest is only right if the bucket is asked for it.
    (folder / f".{job.id}.part").write_bytes(VIDEO[:-1])
    assert dubline("download", job.id, "--out", folder).exit_code == 0
    assert (folder / "a.mp4").read_bytes() == VIDEO
    assert service.sent("GET")[-1].endswith(".mp4")
