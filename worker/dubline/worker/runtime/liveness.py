"""The liveness file, which a worker touches at each poll and each step.

The worker is ready while the file is empty; a quarantined worker writes into it and goes on touching it.
`python -m dubline.worker.runtime.liveness FILE MAX_AGE_S` checks it: exit code 0 if the file was touched within that
time, else 1. The check runs every few seconds beside a busy worker, so this module imports almost nothing.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self


class LivenessFile:
    """The worker's side of the check.

    Args:
        path: the file; None disables it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def at(cls, name: str) -> Self:
        """Make one from a setting; an empty name disables it."""
        return cls(Path(name) if name else None)

    def touch(self) -> None:
        """Set the file's modification time to now. A full or missing disk is ignored."""
        if self._path is not None:
            with suppress(OSError):
                self._path.touch()

    def withdraw(self) -> None:
        """Write into the file that the worker takes no work for now: it counts as alive and not as ready."""
        if self._path is not None:
            with suppress(OSError):
                self._path.write_text("quarantined\n", encoding="utf-8")

    def clear(self) -> None:
        """Remove the file of an earlier worker, so that this one does not count as ready before it is."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def is_fresh(path: Path, max_age_s: float) -> bool:
    """Return whether the file was touched within the last `max_age_s` seconds."""
    try:
        return time.time() - path.stat().st_mtime <= max_age_s
    except OSError:
        return False


if __name__ == "__main__":
    # Not sys.exit: finalizing the interpreter would double the run time of the check.
    os._exit(0 if is_fresh(Path(sys.argv[1]), float(sys.argv[2])) else 1)
