"""Benchmarks run rarely, so this test keeps them in step with the code that they measure."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final

import pytest

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


def test_the_readme_of_the_benchmarks_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = {f"`{name(path)}/`" if path.stem == "__main__" else f"`{path.name}`" for path in COMMANDS}
    assert {entry for entry in listed if entry not in text} == set()
