"""`dubline up`: Ctrl-C or SIGKILL at any time leaves no process and no folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.embedded.processes import eventually, running_in

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL_PROCESSES = 10
UP_WITHIN_S = 120.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that other users may enter, as PostgreSQL requires if the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="dubline-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dubline.client", "up"],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def nothing_is_left(folder: Path) -> bool:
    return not list(folder.iterdir()) and not running_in(folder)


@pytest.mark.parametrize("processes", [1, 4])
def test_ctrl_c_during_the_start_leaves_nothing(folder: Path, processes: int) -> None:
    with start(folder) as up:
        eventually(lambda: len(running_in(folder)) >= processes, UP_WITHIN_S)
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(UP_WITHIN_S) == 0
    eventually(lambda: nothing_is_left(folder))


# tests/integration/embedded/test_session.py tests Ctrl-C during the wait, the fixture `stack` the graceful stop.
def test_sigkill_leaves_nothing_of_any_process(folder: Path) -> None:
    with start(folder) as up:
        eventually(lambda: len(running_in(folder)) >= ALL_PROCESSES, UP_WITHIN_S)
        os.killpg(up.pid, signal.SIGKILL)
        assert up.wait(UP_WITHIN_S) == -signal.SIGKILL
    eventually(lambda: nothing_is_left(folder))
