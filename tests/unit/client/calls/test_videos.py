"""Downloads that continue, and files that are not replaced."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.service import VIDEO, Service

from dubline.client.errors import ClientError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dubline.client.client import Client


@pytest.fixture
def service() -> Service:
    service = Service()
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    return service


def ranges(service: Service) -> list[str | None]:
    """Return the range of each request for the video."""
    return [request.headers.get("Range") for request in service.requests if request.url.path == "/job-0.mp4"]


def test_a_video_that_is_there_is_not_downloaded_again(service: Service, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(VIDEO)
    assert not client.jobs.fetch(client.jobs.get("job-0"), path)
    assert ranges(service) == []


@pytest.mark.parametrize("part", [VIDEO[:5], VIDEO])
def test_an_interrupted_download_continues(service: Service, client: Client, tmp_path: Path, part: bytes) -> None:
    (tmp_path / ".job-0.part").write_bytes(part)
    assert client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("video.mp4", VIDEO)]
    assert ranges(service) == ([] if part == VIDEO else ["bytes=5-"])


@pytest.mark.parametrize("part", [b"other", b"longer than the video that is to be downloaded"])
def test_a_damaged_part_is_downloaded_anew(service: Service, client: Client, tmp_path: Path, part: bytes) -> None:
    (tmp_path / ".job-0.part").write_bytes(part)
    assert client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("video.mp4", VIDEO)]
    assert ranges(service) == [f"bytes={len(part)}-", None]


def test_a_video_with_another_hash_is_refused(service: Service, client: Client, tmp_path: Path) -> None:
    service.faults["GET /job-0.mp4"] = [httpx2.Response(200, content=VIDEO[::-1])]
    with pytest.raises(ClientError, match="SHA-256"):
        client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_other_content_is_kept(service: Service, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(ClientError, match="it exists already and has other content; --force replaces it"):
        client.jobs.fetch(client.jobs.get("job-0"), path)
    assert (path.read_bytes(), ranges(service)) == (b"mine", [])
    assert client.jobs.fetch(client.jobs.get("job-0"), path, replace=True)
    assert path.read_bytes() == VIDEO


def test_a_bucket_without_ranges_sends_the_whole_video(service: Service, client: Client, tmp_path: Path) -> None:
    (tmp_path / ".job-0.part").write_bytes(VIDEO[:5])
    service.faults["GET /job-0.mp4"] = [httpx2.Response(200, content=VIDEO)]
    assert client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").read_bytes() == VIDEO
    assert ranges(service) == ["bytes=5-"]
    # A part of a compressed video is no part of the video.
    assert service.requests[-1].headers["Accept-Encoding"] == "identity"


def test_a_stopped_download_keeps_its_part(service: Service, client: Client, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(1 << 16)
        client.stop_waiting()
        yield bytes(1 << 16)

    service.faults["GET /job-0.mp4"] = [httpx2.Response(200, content=chunks())]
    with pytest.raises(StoppedError):
        client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")
    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [(".job-0.part", 1 << 16)]


def test_a_file_that_cannot_be_locked_is_reported(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ClientError, match="Input/output error"):
        client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")


def test_two_processes_do_not_write_one_part(client: Client, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".job-0.part").open("wb") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        with pytest.raises(ClientError, match="Another process is downloading"):
            client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")


def test_a_file_system_without_locks_can_be_downloaded_to(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert client.jobs.fetch(client.jobs.get("job-0"), tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").read_bytes() == VIDEO
