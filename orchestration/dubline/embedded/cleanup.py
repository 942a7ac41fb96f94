"""A process that stops the stack and removes its folder after the process that started the stack has ended.

It reads a pipe whose other end is open in its parent only, so end-of-file means that the parent has ended, even by
SIGKILL. It then stops all watched process groups and removes the folder. Groups that end before are unregistered,
because their ids may be reused.

The second half of this file is run as a script, with the standard library only.
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
_POLL_S: Final = 0.02


class CleanupProcess:
    """A handle of the cleanup process."""

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
        """Id of the process."""
        return self._process.pid

    def watch_folder(self, folder: Path) -> None:
        """Register a folder to be removed, before it is created."""
        # A name may have any bytes: a line feed would end the line, and another folder would be removed.
        self._send(f"folder {os.fsencode(folder).hex()}")

    def watch(self, target: int, stop_signal: int) -> None:
        """Register a process to be stopped; a negative number is a process group."""
        self._send(f"watch {target} {int(stop_signal)}")

    def forget(self, target: int) -> None:
        """Unregister a process or group that has ended."""
        self._send(f"forget {target}")

    def close(self) -> None:
        """Have it clean up everything that is registered, and wait until it ends."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait()

    def _send(self, line: str) -> None:
        if self._process.stdin and self._process.poll() is None:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


def _signal(target: int, signum: int) -> bool:
    try:
        os.kill(target, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _clean_up(targets: dict[int, int], folders: list[bytes]) -> None:
    for target, signum in targets.items():
        _signal(target, signum)
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline and any(_signal(target, 0) for target in targets):
        time.sleep(_POLL_S)
    for target in targets:
        _signal(target, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _read_commands() -> None:
    targets: dict[int, int] = {}
    folders: list[bytes] = []
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "folder":
            folders.append(bytes.fromhex(rest))
        elif verb == "watch":
            target, signum = rest.split()
            targets[int(target)] = int(signum)
        else:
            targets.pop(int(rest), None)
    _clean_up(targets, folders)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _read_commands()
