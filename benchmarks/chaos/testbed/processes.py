"""Processes of this machine, read from /proc: descendants, age, signals."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

EXIT_WITHIN_S: Final = 10.0
#: Index of the start time among the fields of `/proc/PID/stat` that follow the process name.
_START_TIME: Final = 19
#: States of a process that has ended: zombie and dead.
_ENDED: Final = frozenset({"Z", "X"})


def children_of(pid: int) -> tuple[int, ...]:
    """Return the process ids of all descendants of a process; none if it has ended."""
    found: list[int] = []
    # The kernel lists a child under the thread that started it.
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, listing.read_text().split()):
                found += [child, *children_of(child)]
    return tuple(found)


def age_s(pid: int) -> float:
    """Return the seconds since a process started; 0 if it has ended, even if it was not reaped."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")


def send_signal(pid: int, signum: int) -> bool:
    """Send a signal to a process; return whether the process existed."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def kill_process(pid: int) -> bool:
    """SIGKILL a process and wait until it has ended; return whether it was running."""
    if _stat(pid) is None or not send_signal(pid, signal.SIGKILL):
        return False
    deadline = time.monotonic() + EXIT_WITHIN_S
    while _stat(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.005)
    return True


def _stat(pid: int) -> list[str] | None:
    """Return the fields of `/proc/PID/stat` after the process name; None if the process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _ENDED else fields
