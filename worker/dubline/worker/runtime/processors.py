"""The processors that this process may use: its affinity, and the quota of its control groups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path("/")
#: Where version 1 mounts the controller of processor time; the names are links to each other or the only one.
_FIRST_VERSION: Final = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def usable(root: Path = ROOT) -> int:
    """Return the number of whole processors of this process, at least 1.

    A container with a limit sees all processors of its machine. Threads beyond the quota would be paused together for
    the rest of each period.

    Args:
        root: folder of `proc` and `sys`.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = (quota for folder in _groups(root) if (quota := _quota(folder)) is not None)
    return max(1, int(min((float(count), *quotas))))


def _groups(root: Path) -> set[Path]:
    """Return the folders of the control groups of this process and of all groups around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return set()
    mounted = root / "sys/fs/cgroup"
    found: set[Path] = set()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = Path(path.lstrip("/"))
        if not controllers:
            tops = [mounted]
        elif "cpu" in controllers.split(","):
            tops = [mounted / name for name in _FIRST_VERSION]
        else:
            continue
        # A container often sees its own group at the mount point, whatever the path says.
        found.update(top / part for top in tops for part in (group, *group.parents))
    return found


def _quota(folder: Path) -> float | None:
    """Return the processors that a group may use; None if it has no limit of its own."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        share = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        # "max" is no number, and a file may be missing or not readable.
        return None
    return share if share > 0 else None
