"""Facts of this machine and its processes, from /proc: processor, processor time, memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def processor() -> str:
    """Return the model name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def processor_s(pid: int) -> float:
    """Return the seconds of user and system time of a process, with those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants that are running."""
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from family(int(child))


def own_share_mb(pid: int) -> float:
    """Return the resident memory of a process in MiB, where a page of n processes counts as one n-th; 0 if it ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    except PermissionError:  # a process that hides its memory
        return memory_mb(pid, "VmRSS")[0]
    except (OSError, KeyError, StopIteration):
        return 0.0


def memory_mb(pid: int | str, *names: str) -> list[float]:
    """Return sizes of a process in MiB, such as `VmRSS` (now) and `VmHWM` (the peak).

    Args:
        pid: of the process, or `self`.
        names: lines of /proc/PID/status.
    """
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return [int(status[name].split()[0]) / 1024 for name in names]
