from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2
import pytest
from tests.unit.client.cli.conftest import run
from tests.unit.client.service import SHA256, VIDEO, Service

from dubline.client import exit_codes

if TYPE_CHECKING:
    from pathlib import Path

CONSENT = {"statement": "I agree.", "subject": "Ada", "obtained_at": "2026-01-31T12:00:00Z"}
JOB = str(UUID(int=7))
MARK = f"This video is synthetic. tool=Dubline/0.1.0 accepted=2026-11-29T08:30:00Z job={JOB}"


def declared(service: Service) -> dict[str, list[Any]]:
    """Return the consent of each declared file, by kind."""
    bodies = [json.loads(one.content) for one in service.requests if one.url.path == "/v1/uploads"]
    return {kind: [one.get("consent") for one in bodies if one["kind"] == kind] for kind in ("portrait", "speech")}


def test_submit_sends_the_consent_of_a_file(monkeypatch: pytest.MonkeyPatch, media: Path, service: Service) -> None:
    monkeypatch.chdir(media)
    (media / "consent.json").write_text(json.dumps(CONSENT))
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3", "--out", "o.mp4")
    assert run(monkeypatch, *words, "--consent-file", "consent.json") == 0
    assert declared(service) == {"portrait": [CONSENT], "speech": [None]}


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps(CONSENT | {"obtained_at": "2026"}), "\udcff"])
def test_a_file_that_states_no_consent_is_refused_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    (media / "consent.json").write_bytes(content.encode(errors="surrogateescape"))
    words = ("submit", "--portrait", "face.jpg", "--speech", "hello.mp3", "--consent-file", "consent.json")
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    assert "consent.json" in capsys.readouterr().err
    assert service.calls == []


def test_a_batch_sends_the_consent_of_each_row(monkeypatch: pytest.MonkeyPatch, media: Path, service: Service) -> None:
    monkeypatch.chdir(media)
    row = {"portrait": "face.jpg", "speech": "hello.mp3"}
    rows = [row | {"custom_id": "a", "consent": CONSENT}, row | {"custom_id": "b"}]
    (media / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run(monkeypatch, "batch", "rows.jsonl", "--out", "out") == 0
    assert sorted(declared(service)["portrait"], key=str) == sorted([None, CONSENT], key=str)


def test_a_table_has_a_column_for_each_part_of_consent(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service
) -> None:
    monkeypatch.chdir(media)
    names = ["custom_id", "portrait", "speech", *(f"consent.{name}" for name in CONSENT)]
    (media / "rows.csv").write_text(
        "\n".join(map(",".join, [names, ["a", "face.jpg", "hello.mp3", *CONSENT.values()]]))
    )
    assert run(monkeypatch, "batch", "rows.csv", "--out", "out") == 0
    assert declared(service)["portrait"] == [CONSENT]


def test_a_batch_without_required_consent_is_refused_before_sending(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    service.limits["consent_required"] = True
    (media / "rows.jsonl").write_text(json.dumps({"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}))
    assert run(monkeypatch, "batch", "rows.jsonl", "--out", "out") != 0
    assert "a: the server requires the consent" in capsys.readouterr().err
    assert service.calls == ["GET /v1/limits"]


@pytest.mark.parametrize(("verdict", "code"), [("unaltered", 0), ("altered", 1), ("unknown", 1)])
def test_verify_prints_the_verdict_and_exits_with_it(  # noqa: PLR0913, PLR0917
    monkeypatch: pytest.MonkeyPatch,
    media: Path,
    service: Service,
    verdict: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(media)
    (media / "video.mp4").write_bytes(VIDEO)
    job = {"id": JOB, "custom_id": "a", "created_at": "t0", "finalized_at": "t1"}
    answer = {"verdict": verdict, "job": None if verdict == "unknown" else job}
    service.faults["POST /v1/verifications"] = [httpx2.Response(200, json=answer)]
    assert run(monkeypatch, "verify", "video.mp4") == code
    assert capsys.readouterr().out.startswith(f"{verdict}: ")
    assert json.loads(service.requests[0].content) == {"sha256": SHA256, "job_id": None}


def test_verify_sends_the_job_that_the_file_names(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service
) -> None:
    monkeypatch.chdir(media)
    (media / "video.mp4").write_bytes(b"\x00cmt" + MARK.encode() + b"\x00")
    answer = {"verdict": "unknown", "job": None}
    service.faults["POST /v1/verifications"] = [httpx2.Response(200, json=answer)]
    assert run(monkeypatch, "verify", "video.mp4") == 1
    assert json.loads(service.requests[0].content)["job_id"] == JOB


def test_verify_of_a_file_that_does_not_exist_says_so(
    monkeypatch: pytest.MonkeyPatch, media: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    assert run(monkeypatch, "verify", "video.mp4") == exit_codes.USAGE_ERROR
    assert "The file video.mp4 does not exist." in capsys.readouterr().err
    assert service.calls == []
