"""The drill of backup and restore, with renders. `integration/orchestration/test_restore.py` is its cheap part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_the_drill_of_backup_and_restore_finds_no_fault() -> None:
    line = [sys.executable, "-m", "benchmarks.drill"]
    drill = subprocess.run(line, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert drill.stdout.endswith("checks_failed=0\n")
