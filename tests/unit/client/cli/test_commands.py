from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.cli.conftest import run
from tests.unit.client.service import KEY, Service

import dubline.embedded
from dubline.client import exit_codes
from dubline.client.cli import connection

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("service")
def test_submit_downloads_a_video_and_prints_the_id(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    assert run(monkeypatch, "submit", "--portrait", "face.jpg", "--speech", "hello.mp3") == 0
    assert (media / "face-hello.mp4").is_file()
    assert capsys.readouterr().out.endswith("\njob job-0\n")


def test_submit_sends_the_controls_that_are_set(monkeypatch: pytest.MonkeyPatch, media: Path, service: Service) -> None:
    monkeypatch.chdir(media)
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3", "--out", "o.mp4")
    assert run(monkeypatch, *words) == 0
    assert run(monkeypatch, *words, "--expression", 2, "--head-motion", 0, "--blink", 0.5, "--shut-in-silence", 1) == 0
    plain, controlled = (job["request"] for job in service.jobs.values())
    assert "controls" not in plain
    assert controlled["controls"] == {"expression": 2, "head_motion": 0, "blink": 0.5, "shut_in_silence": 1}


def test_submit_sends_the_height_of_the_video(monkeypatch: pytest.MonkeyPatch, media: Path, service: Service) -> None:
    monkeypatch.chdir(media)
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3", "--out", "o.mp4", "--height-px", 256)
    assert run(monkeypatch, *words) == 0
    (job,) = service.jobs.values()
    assert job["request"]["output"] == {"height_px": 256}


def test_submit_sends_the_point_of_the_face(monkeypatch: pytest.MonkeyPatch, media: Path, service: Service) -> None:
    monkeypatch.chdir(media)
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3", "--out", "o.mp4", "--face", "640,360")
    assert run(monkeypatch, *words) == 0
    (job,) = service.jobs.values()
    assert job["request"]["face"] == {"x": 640, "y": 360}


def test_submit_overwrites_a_file_only_if_it_is_named(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    old = media / "face-hello.mp4"
    old.write_bytes(b"old")
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3")
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    assert "face-hello.mp4 already exists. Set another name with --out" in capsys.readouterr().err
    assert (old.read_bytes(), service.calls) == (b"old", [])
    assert run(monkeypatch, *words, "--out", old) == 0
    assert old.read_bytes() != b"old"


@pytest.mark.usefixtures("service")
def test_submit_of_a_rejected_portrait_prints_the_reason(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "submit",
        "--portrait",
        media / "wall.jpg",
        "--speech",
        media / "hello.mp3",
        "--out",
        media / "o",
    )
    assert run(monkeypatch, *words) == exit_codes.FAILED
    assert "no_face: No face was found." in capsys.readouterr().err


@pytest.mark.usefixtures("service")
def test_batch_downloads_the_videos_and_prints_a_summary(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portraits = {"good": "face.jpg", "bad": "wall.jpg"}
    lines = [
        json.dumps({"custom_id": name, "portrait": file, "speech": "hello.mp3"}) for name, file in portraits.items()
    ]
    (media / "batch.jsonl").write_text("\n".join(lines))
    assert run(monkeypatch, "batch", media / "batch.jsonl", "--out", media / "out") == exit_codes.FAILED
    assert [file.name for file in (media / "out").glob("[!.]*")] == ["good.mp4"]
    shown = capsys.readouterr().out
    assert "failed  bad  no_face: No face was found." in shown
    assert "1 of 2 videos" in shown
    assert shown.endswith("\nbatch batch-0\n")


@pytest.mark.parametrize(
    ("poll", "identifier", "words"),
    [
        ("_get_job", "job-0", ["submit", "--portrait", "face.jpg", "--speech", "hello.mp3"]),
        ("_get_batch", "batch-0", ["batch", "batch.jsonl"]),
    ],
)
def test_an_interrupt_prints_how_to_see_or_cancel_the_work(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    monkeypatch: pytest.MonkeyPatch,
    media: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    poll: str,
    identifier: str,
    words: list[str],
) -> None:
    def interrupted(_identifier: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, poll, interrupted)
    monkeypatch.chdir(media)
    row = {"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}
    (media / "batch.jsonl").write_text(json.dumps(row))
    assert run(monkeypatch, *words) == exit_codes.INTERRUPTED
    shown = capsys.readouterr().err
    assert f"dubline status {identifier}\ndubline cancel {identifier}" in shown
    assert shown.endswith(f"To continue:\ndubline {' '.join(words)}\n")


def test_an_interrupt_names_nothing_of_a_server_that_ends_too(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_identifier: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "_get_batch", interrupted)
    monkeypatch.setenv(connection.ENDS_WITH_COMMAND, str(os.getppid()))
    monkeypatch.chdir(media)
    (media / "batch.jsonl").write_text(json.dumps({"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}))
    assert run(monkeypatch, "batch", "batch.jsonl") == exit_codes.INTERRUPTED
    assert capsys.readouterr().err == "Interrupted; the server stops and its data is removed.\n"
    assert list((media / "out").iterdir()) == []


@pytest.mark.usefixtures("service")
def test_batch_says_how_to_fetch_videos_that_could_not_be_stored(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    (media / "out" / "a.mp4").mkdir(parents=True)
    (media / "batch.jsonl").write_text(json.dumps({"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}))
    assert run(monkeypatch, "batch", "batch.jsonl", "--force") == exit_codes.FAILED
    shown = capsys.readouterr()
    assert "failed  a  client_error: Cannot write out/a.mp4: it is a folder, a device or a pipe." in shown.out
    assert shown.err.endswith("To fetch them:\ndubline batch batch.jsonl --force\n")


def test_status_accepts_jobs_and_batches(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = [
        {"number": 1, "outcome": "retried", "cause": "worker_lost", "gpu_s": 1.25},
        {"number": 2, "outcome": None, "cause": None},
    ]
    service.jobs["job-0"] = {"id": "job-0", "state": "running", "stage": "rendering", "attempts": attempts}
    service.batches["k"] = "batch-0"
    assert run(monkeypatch, "status", "job-0") == 0
    assert run(monkeypatch, "status", "batch-0") == 0
    shown = capsys.readouterr().out
    assert "attempt 1: retried, worker_lost, 1.2 s on the device\n  attempt 2: running" in shown
    assert "batch batch-0: 1 succeeded" in shown
    assert run(monkeypatch, "status", "nothing") == exit_codes.USAGE_ERROR


def test_cancel_accepts_jobs_and_batches_and_prints_their_state(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "retrying"}
    service.faults["POST /v1/jobs/job-0/cancel"] = [httpx2.Response(200, json={"id": "job-0", "state": "cancelled"})]
    assert run(monkeypatch, "cancel", "job-0") == 0
    assert capsys.readouterr().out == "job job-0: cancelled, 0 %\n"
    service.batches["k"] = "batch-0"
    service.jobs |= {"job-0": {"id": "job-0", "state": "succeeded"}, "job-1": {"id": "job-1", "state": "queued"}}
    cancelled = {"id": "batch-0", "job_count": 2, "counts": {"succeeded": 1, "cancelled": 1}, "percent": 100}
    service.faults["POST /v1/batches/batch-0/cancel"] = [httpx2.Response(200, json=cancelled)]
    assert run(monkeypatch, "cancel", "batch-0") == 0
    assert capsys.readouterr().out == "batch batch-0: 1 succeeded, 1 cancelled, 100 %\n"
    assert run(monkeypatch, "cancel", "nothing") == exit_codes.USAGE_ERROR


def test_delete_accepts_jobs_and_batches_and_prints_the_audit_entry(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    service.batches["k"] = "batch-0"
    assert run(monkeypatch, "delete", "job-0", "--inputs") == exit_codes.USAGE_ERROR
    assert "--inputs is for batches only" in capsys.readouterr().err
    assert "job-0" in service.jobs
    assert run(monkeypatch, "delete", "job-0") == 0
    assert capsys.readouterr().out == "job job-0 is deleted. Audit entry: audit-of-job-0.\n"
    assert run(monkeypatch, "delete", "batch-0", "--inputs") == 0
    assert capsys.readouterr().out == "batch batch-0 is deleted. Audit entry: audit-of-batch-0.\n"
    assert service.requests[-1].url.query == b"inputs=true"
    assert (service.jobs, service.batches) == ({}, {})
    assert run(monkeypatch, "delete", "job-0") == exit_codes.USAGE_ERROR
    assert "There is no job or batch job-0. Check the id" in capsys.readouterr().err


def test_an_error_is_printed_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DUBLINE_API_KEY", raising=False)
    for words in (
        ("status", "x"),
        ("submit", "--portrait", media / "gone.jpg", "--speech", media / "hello.mp3"),
        ("batch", media / "gone.jsonl"),
    ):
        assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
        error = capsys.readouterr().err
        assert error.startswith("dubline: ")
        assert error.count("\n") == 1


def test_up_passes_options_to_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def fake(command: list[str], show: object) -> int:
        assert callable(show)
        seen.append(command)
        return 3

    monkeypatch.setattr(dubline.embedded, "run", fake)
    assert run(monkeypatch, "up", "--", "make", "-x", "--help") == 3
    assert run(monkeypatch, "up") == 3
    assert seen == [["make", "-x", "--help"], []]


def test_up_prints_which_part_failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(command: list[str], show: object) -> int:
        raise dubline.embedded.PartFailed("renderer", "stopped with exit code 1", f"{command} {show}")

    monkeypatch.setattr(dubline.embedded, "run", fail)
    assert run(monkeypatch, "up") == exit_codes.USAGE_ERROR
    assert "renderer stopped with exit code 1" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "place"), [(f"{KEY} ", "end"), (f"{KEY}\n", "end"), (f" {KEY}", "beginning")])
def test_a_key_with_a_blank_is_refused_at_once_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: Service, key: str, place: str
) -> None:
    monkeypatch.setenv("DUBLINE_API_KEY", key)
    assert run(monkeypatch, "status", "x") == exit_codes.USAGE_ERROR
    shown = capsys.readouterr()
    assert f"DUBLINE_API_KEY has a blank at its {place}" in shown.err
    assert KEY not in shown.err + shown.out
    assert service.calls == []


def test_an_old_console_shows_escapes_for_ids_that_it_lacks(monkeypatch: pytest.MonkeyPatch, service: Service) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "queued", "custom_id": "こんにちは"}
    console = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(console, encoding="cp1252", write_through=True))
    assert run(monkeypatch, "status", "job-0") == 0
    assert console.getvalue() == rb"job job-0 (\u3053\u3093\u306b\u3061\u306f): running, 0 %" + b"\n"


def test_no_type_is_claimed_that_the_user_did_not_state(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service
) -> None:
    words = ("submit", "--portrait", media / "face.jpg", "--speech", media / "hello.mp3", "--out", media / "o.mp4")
    assert run(monkeypatch, *words) == 0
    declared = [
        json.loads(request.content)["content_type"]
        for request in service.requests
        if request.url.path == "/v1/uploads" and request.method == "POST"
    ]
    assert declared == ["application/octet-stream"] * 2


def test_an_error_after_acceptance_names_the_batch(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"code": "unauthorized", "detail": "The key was revoked."}
    service.faults["GET /v1/batches/batch-0"] = [httpx2.Response(401, json=body)]
    (media / "batch.jsonl").write_text(json.dumps({"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}))
    assert run(monkeypatch, "batch", media / "batch.jsonl", "--out", media / "out") == exit_codes.USAGE_ERROR
    assert "dubline status batch-0" in capsys.readouterr().err
