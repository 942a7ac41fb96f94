"""Processes end at a signal from their first moment on, also as process 1 of a container."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: Stands for the first package that is imported.
SIGNALLED = """
import os, signal, time
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "command", [("dubline.api",), ("dubline.orchestration", "maintenance"), ("dubline.worker", "render")]
)
def test_a_signal_among_the_first_imports_ends_a_process(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text(SIGNALLED)
    run = subprocess.run(
        [sys.executable, "-m", *command],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        timeout=60,
    )
    # A process that the signal has killed has a negative code. The kernel would not kill process 1.
    assert (run.returncode, run.stderr) == (128 + signal.SIGTERM, b"")
