"""`dubline up`: Ctrl-C, or worse, at any moment leaves no process and no folder."""

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
from tests.integration.embedded.processes import eventually, living_in

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYTHING = 10
UP_WITHIN_S = 60.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A temporary folder that other users may pass through, as PostgreSQL's has to where we are root."""
    folder = Path(tempfile.mkdtemp(prefix="dubline-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def start(place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dubline.client", "up"],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(up: subprocess.Popen[str], words: str) -> None:
    assert up.stdout
    for line in up.stdout:
        if words in line:
            return
    pytest.fail(f"it ended without saying {words!r}")


def nothing_is_left(place: Path) -> bool:
    return not list(place.iterdir()) and not living_in(place)


@pytest.mark.parametrize("processes", [1, 4, EVERYTHING])
def test_ctrl_c_while_it_starts_leaves_nothing(place: Path, processes: int) -> None:
    with start(place) as up:
        eventually(lambda: len(living_in(place)) >= processes, UP_WITHIN_S)
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(UP_WITHIN_S) == 0
    eventually(lambda: nothing_is_left(place))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_ending_it_when_it_is_up_leaves_nothing(place: Path, signum: signal.Signals, code: int) -> None:
    with start(place) as up:
        read_until(up, "Ctrl-C stops everything")
        os.killpg(up.pid, signum)
        assert up.wait(UP_WITHIN_S) == code
    eventually(lambda: nothing_is_left(place))
