from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.unit.client.cli.conftest import run

from dubline.client import exit_codes
from dubline.client.cli import faces

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

REMARK = {"code": "tilted", "detail": "The face is tilted by 25 degrees."}
FOUND = {
    "width_px": 640,
    "height_px": 480,
    "faces": [
        {"box": [10, 20, 110, 120], "tilt_deg": 25.0, "warnings": [REMARK], "error": None},
        {
            "box": [300, 20, 330, 50],
            "tilt_deg": 0.0,
            "warnings": [],
            "error": {"code": "face_profile", "detail": "No."},
        },
    ],
}


def prints(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]) -> None:
    """Start a program that prints this in place of the worker's."""
    start, script = subprocess.run, f"print({json.dumps(found)!r})"

    def instead(_command: list[str], **options: Any) -> Any:
        return start([sys.executable, "-c", script], **options)

    monkeypatch.setattr(faces.subprocess, "run", instead)


def test_faces_are_listed_with_their_numbers_boxes_and_remarks(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prints(monkeypatch, FOUND)
    assert run(monkeypatch, "faces", media / "face.jpg") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{media / 'face.jpg'}: 640 x 480 px, 2 faces",
        "  face 0: left 10, top 20, right 110, bottom 120",
        "    tilted: The face is tilted by 25 degrees.",
        "  face 1: left 300, top 20, right 330, bottom 50",
        "    face_profile: No.",
    ]


def test_a_picture_that_would_be_rejected_says_why(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prints(monkeypatch, {"error": {"code": "no_face", "detail": "No face was found."}})
    assert run(monkeypatch, "faces", media / "face.jpg") == faces.REFUSED
    assert capsys.readouterr().out == f"{media / 'face.jpg'}: no_face: No face was found.\n"


def test_a_missing_picture_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "faces", tmp_path / "none.jpg") == exit_codes.USAGE_ERROR
    assert "does not exist" in capsys.readouterr().err


def test_a_program_that_fails_says_what_the_command_needs(
    monkeypatch: pytest.MonkeyPatch, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faces, "PROGRAM", "dubline.worker.media.missing")
    assert run(monkeypatch, "faces", media / "face.jpg") == exit_codes.USAGE_ERROR
    assert "needs dubline[worker]" in capsys.readouterr().err
