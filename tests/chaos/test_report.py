"""The report: its last line and the exit code; the names of phases on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.chaos.__main__ import FORMER_NAMES, check_history, main
from benchmarks.chaos.history import History

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPT = {
    "number": 1,
    "worker": "host:1/7",
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
        history.start_phase("light")
        history.record("accepted", jobs=["a"])
        history.record("row", **ROW, stored_bytes=stored_bytes)
        history.start_phase("celery")
        history.record("accepted", jobs=["never"])
    return path


def test_losses_of_the_baseline_do_not_change_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_history(written(tmp_path / "history", 9)) == 0
    *_, baseline, last = capsys.readouterr().out.splitlines()
    assert baseline.startswith("celery: tasks=1 kills=0 lost=1 ")
    assert last == (
        "jobs=1 kills=0 lost=0 committed_twice=0 zombie_writes_refused=0 "
        "recovery_p50_s=none recovery_p95_s=none redone_share=0.0000"
    )


def test_a_lost_job_gives_exit_code_1_and_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_history(written(tmp_path / "history", None)) == 1
    printed = capsys.readouterr().out
    assert "lost: a: succeeded, but results/id-a/1-token.mp4 is not in the bucket" in printed
    assert " lost=1 " in printed.splitlines()[-1]


@pytest.mark.parametrize("name", ["celery", "baseline", *FORMER_NAMES])
def test_the_baseline_is_accepted_under_its_former_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    written(tmp_path / "history.jsonl", 9)
    assert main(["--check", "--out", str(tmp_path), "--phases", name]) == 0
    assert ("is now called celery" in capsys.readouterr().err) == (name in FORMER_NAMES)
