"""The last line, and the exit code that goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.chaos.__main__ import judge
from benchmarks.chaos.history import History

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ATTEMPT = {
    "number": 1,
    "worker": "host:7",
    "started_at": 1.0,
    "ended_at": 3.0,
    "outcome": "succeeded",
    "cause": None,
    "refused_writes": 0,
}
ROW: dict[str, Any] = {
    "job": "a",
    "id": "id-a",
    "state": "succeeded",
    "error_code": None,
    "result_key": "results/id-a/1-token.mp4",
    "result_bytes": 9,
    "attempts": [ATTEMPT],
}


def written(path: Path, stored_bytes: int | None) -> Path:
    with History(path) as history:
        history.begin("light")
        history.note("accepted", jobs=["a"])
        history.note("row", **ROW, stored_bytes=stored_bytes)
        history.begin("rival")
        history.note("accepted", jobs=["never"])
    return path


def test_a_sound_history_ends_with_0_whatever_the_rival_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge(written(tmp_path / "history", 9)) == 0
    *_, rival, last = capsys.readouterr().out.splitlines()
    assert rival.startswith("rival: tasks=1 kills=0 lost=1 ")
    assert last == (
        "jobs=1 kills=0 lost=0 committed_twice=0 zombie_writes_refused=0 "
        "recovery_p50_s=none recovery_p95_s=none redone_share=0.0000"
    )


def test_a_lost_job_ends_with_1_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(written(tmp_path / "history", None)) == 1
    shown = capsys.readouterr().out
    assert "lost: a: succeeded, but results/id-a/1-token.mp4 is not in the bucket" in shown
    assert " lost=1 " in shown.splitlines()[-1]
