"""Lists of running processes, for tests of cleanup."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN_S = 60.0
#: Pauses between polls. They grow, because each poll of the API takes processor time from what it waits for.
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.02, 0.25, 1.15


def running_in(folder: Path) -> list[str]:
    """Return the command lines of processes, except zombies, that run in a folder or have it in their arguments."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            home = str((process / "cwd").readlink()) if command else ""
        except OSError:
            continue
        if str(folder) in command or home.startswith(str(folder)):
            found.append(f"{process.name} {command}")
    return found


def children_of(pid: int) -> list[int]:
    """Return the ids of the existing child processes of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue
        if f"PPid:\t{pid}" in lines:
            found.append(int(status.parent.name))
    return found


def eventually(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{condition} did not hold within {within_s} s")
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, GROWTH * pause_s)
