"""The commands of training: help, and an output that is not read."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final

import pytest
from tests.unread import unread_output

from dubline.options.output import UNREAD

MODELS: Final = Path(__file__).parents[3] / "models" / "dubline"
#: A process of the evaluation with its own interpreter, not a command.
NO_COMMAND: Final = "face_reader"
COMMANDS: Final = sorted(
    path
    for path in (*(MODELS / "training").rglob("*.py"), MODELS / "models" / "cost.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8") and path.stem != NO_COMMAND
)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(MODELS).with_suffix("")))
def test_a_command_whose_output_is_not_read_ends_quietly(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(path), "--help"])
    with unread_output(), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == UNREAD
