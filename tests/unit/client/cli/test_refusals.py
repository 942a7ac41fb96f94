"""Commands that are refused before anything is sent, or whose id names nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.cli.conftest import run
from tests.unit.client.service import problem

from dubline.client import exit_codes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.client.service import Service


def test_submit_refuses_a_folder_as_video_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("submit", "--portrait", media / "face.jpg", "--speech", media / "hello.mp3", "--out", media)
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    assert f"{media} is a folder." in capsys.readouterr().err
    assert service.calls == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("empty.jpg", "hello.mp3"), "empty.jpg is empty. Nothing was sent."),
        ((".", "hello.mp3"), "is a folder; name a file."),
        (("face.jpg", "x" * 300), "cannot be read: File name too long."),
        (("f" * 150, "s" * 150), "File name too long. Name the file of the video with --out."),
    ],
)
def test_submit_refuses_what_it_cannot_read_or_write_before_sending(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    monkeypatch: pytest.MonkeyPatch,
    media: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(media)
    for name in ("f" * 150, "s" * 150):
        (media / name).write_bytes(b"content")
    assert run(monkeypatch, "submit", "--portrait", names[0], "--speech", names[1]) == exit_codes.USAGE_ERROR
    assert said in capsys.readouterr().err
    assert service.calls == []


def test_submit_refuses_a_file_above_the_limit_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.limits["speech_bytes"] = 4
    words = ("submit", "--portrait", media / "face.jpg", "--speech", media / "hello.mp3", "--out", media / "o.mp4")
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    assert "hello.mp3 has 5 bytes; the server accepts 4 for a speech." in capsys.readouterr().err
    assert service.calls == ["GET /v1/limits"]


@pytest.mark.parametrize(
    "given", [("1,2", "--face-index", "0"), ("0.5,0.4",), ("7",), ("1048576,0",)], ids=lambda given: given[0]
)
def test_submit_refuses_a_wrong_point_before_sending(
    monkeypatch: pytest.MonkeyPatch,
    media: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    given: tuple[str, ...],
) -> None:
    monkeypatch.chdir(media)
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3", "--face", *given)
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    assert ("Both --face and" if given[1:] else "not a point") in capsys.readouterr().err
    assert not service.jobs


@pytest.mark.parametrize(
    "given",
    [
        ("--blink", "2.1"),
        ("--shut-in-silence", "1.1"),
        ("--expression", "nan"),
        ("--height-px", "257"),
        ("--seed", "-1"),
    ],
)
def test_submit_rejects_a_control_out_of_range_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, given: tuple[str, str]
) -> None:
    monkeypatch.chdir(media)
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3")
    assert run(monkeypatch, *words, *given) == exit_codes.USAGE_ERROR
    assert service.calls == []


def test_an_empty_id_is_refused_without_a_request(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("status", "cancel", "delete"):
        assert run(monkeypatch, command, "") == exit_codes.USAGE_ERROR
        assert "The id is empty." in capsys.readouterr().err
    assert service.calls == []


def test_an_id_in_the_wrong_form_is_reported_like_an_unknown_one(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("jobs", "batches"):
        body = {"code": "invalid_request", "detail": "The value is not an id."}
        service.faults[f"GET /v1/{path}/nope"] = [httpx2.Response(422, json=body)]
    assert run(monkeypatch, "status", "nope") == exit_codes.USAGE_ERROR
    assert capsys.readouterr().err.startswith("dubline: There is no job or batch nope.")


@pytest.mark.parametrize("typed", ["..", ".", "a/b", "../keys"])
def test_an_id_that_would_be_another_path_is_unknown_without_a_request(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    for command in ("status", "download", "delete"):
        assert run(monkeypatch, command, typed) == exit_codes.USAGE_ERROR
        assert capsys.readouterr().err.startswith(f"dubline: There is no job or batch {typed}.")
    assert service.calls == []


def test_every_command_names_a_wrong_path_of_the_url(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    monkeypatch.setenv("DUBLINE_URL", "http://api.test/foo")
    missing = problem(404, "no_such_path", "There is no route with this path.")
    monkeypatch.setattr(service, "respond", lambda _: missing)
    (media / "batch.jsonl").write_text(json.dumps({"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}))
    submit = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3")
    for words in (("status", "x"), ("batch", "batch.jsonl"), submit, ("verify", "face.jpg"), ("usage",)):
        assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
        said = "dubline: The server has no API below the path /foo of DUBLINE_URL. Remove or correct the path.\n"
        assert capsys.readouterr().err == said


@pytest.mark.parametrize("out", ["hello.mp3", "hello.mp3/below", "/proc/none"])
def test_a_folder_that_cannot_be_written_is_found_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (media / "batch.jsonl").write_text(json.dumps({"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}))
    assert run(monkeypatch, "batch", media / "batch.jsonl", "--out", media / out) == exit_codes.USAGE_ERROR
    words = ("submit", "--portrait", media / "face.jpg", "--speech", media / "hello.mp3")
    assert run(monkeypatch, *words, "--out", media / out / "o.mp4") == exit_codes.USAGE_ERROR
    assert capsys.readouterr().err.count("--out") == 2
    assert service.calls == []


@pytest.mark.parametrize("given", ["Base", "huge"])
def test_a_wrong_preset_is_found_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    words = ("submit", "--portrait", media / "face.jpg", "--speech", media / "hello.mp3", "--preset", given)
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    assert "one of: base, tiny" in " ".join(capsys.readouterr().err.split())
    assert service.calls == []


def test_a_trace_that_cannot_be_read_leaves_the_file_as_it_was(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service
) -> None:
    body = {"code": "forbidden", "detail": "No."}
    service.faults["GET /v1/jobs"] = [httpx2.Response(403, json=body)]
    assert run(monkeypatch, "usage", "--trace", media / "hello.mp3") == exit_codes.USAGE_ERROR
    assert (media / "hello.mp3").read_bytes() == b"hello"


def test_a_trace_may_end_with_the_last_day_of_the_calendar(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service
) -> None:
    service.faults["GET /v1/jobs"] = [httpx2.Response(200, json={"data": [], "next_cursor": None})]
    assert run(monkeypatch, "usage", "--trace", tmp_path / "jobs.csv", "--last", "9999-12-31") == 0
    assert "created_before" not in service.requests[0].url.params
