"""The last one out: a process of its own that clears up when the process that runs the stack is gone.

It holds the reading end of a pipe. The other end is open in one process only, so end-of-file means that this
process has ended, even by SIGKILL. Then every process group it was told of is stopped and the folder removed.
Whatever is taken down in order is told too: its number may soon belong to someone else.

The second half of this file is run as a script: standard library only, nothing of dubline.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_GRACE_S: Final = 2.0
_PAUSE_S: Final = 0.02


class Sweeper:
    """The handle of the process that clears up after this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def watch_folder(self, folder: Path) -> None:
        """Name a folder to remove, before it is made."""
        self._tell(f"folder {folder}")

    def watch(self, target: int, stop_signal: int) -> None:
        """Name a process to stop, or by a negative number a process group."""
        self._tell(f"watch {target} {int(stop_signal)}")

    def forget(self, target: int) -> None:
        """Say that a process or group has ended."""
        self._tell(f"forget {target}")

    def close(self) -> None:
        """Let it go, after it has cleared up what is left."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin and self._process.poll() is None:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def _signal(target: int, signum: int) -> bool:
    try:
        os.kill(target, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _sweep(targets: dict[int, int], folders: list[str]) -> None:
    for target, signum in targets.items():
        _signal(target, signum)
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline and any(_signal(target, 0) for target in targets):
        time.sleep(_PAUSE_S)
    for target in targets:
        _signal(target, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _listen() -> None:
    targets: dict[int, int] = {}
    folders: list[str] = []
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "folder":
            folders.append(rest)
        elif verb == "watch":
            target, signum = rest.split()
            targets[int(target)] = int(signum)
        else:
            targets.pop(int(rest), None)
    _sweep(targets, folders)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _listen()
