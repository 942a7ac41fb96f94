"""Benchmarks run rarely, so this test keeps them in step with the code that they measure."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from benchmarks.speed import report
from tests.unread import unread_output

from dubline.options.output import UNREAD

ROOT: Final = Path(__file__).parents[2] / "benchmarks"
COMMANDS: Final = sorted(
    path
    for path in (*ROOT.glob("*.py"), *ROOT.glob("*/__main__.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def name(path: Path) -> str:
    return path.parent.name if path.stem == "__main__" else path.stem


@pytest.mark.parametrize("path", COMMANDS, ids=name)
def test_the_command_of_a_benchmark_can_be_imported_and_has_help(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize("path", COMMANDS, ids=name)
def test_a_benchmark_whose_output_is_not_read_ends_quietly(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(path), "--help"])
    with unread_output(), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == UNREAD


def test_the_readme_of_the_benchmarks_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = {f"`{name(path)}/`" if path.stem == "__main__" else f"`{path.name}`" for path in COMMANDS}
    assert {entry for entry in listed if entry not in text} == set()


JOBS: Final = [
    {
        "name": "base",
        "now": {"wall_s_per_s": 1.25, "stages_s_per_s": {"rendering": 1.0, "muxing": 0.25}},
        "baseline": {"wall_s_per_s": 2.5, "stages_s_per_s": {"rendering": 2.5}},
        "speedup_wall": 2.0,
    }
]


def test_the_last_line_has_every_figure_and_nan_for_what_was_not_run() -> None:
    line = report.line({"jobs": JOBS, "overhead": {"wall": 61.5}})
    assert line == (
        "rtf_base=1.25 rtf_tiny=nan rtf_base_1080p=nan speedup_base=2 speedup_tiny=nan speedup_1080p=nan "
        "mem_peak_mb=nan overhead_p50_ms=61.5"
    )


def test_the_plot_has_a_bar_for_each_side_of_each_job() -> None:
    picture = ET.fromstring(report.plot(JOBS))  # noqa: S314 - made by the line itself
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"base, now", "1.25 s", "base, baseline", "2.50 s", "rendering"} <= set(words)
