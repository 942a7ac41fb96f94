"""The liveness file, which a worker touches at each poll and each step.

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


class Pulse:
    """The worker's side.

    Args:
        path: of the file; None for no file.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def at(cls, name: str) -> Self:
        """The pulse of a setting, of which an empty one means none."""
        return cls(Path(name) if name else None)

    def beat(self) -> None:
        """Touch the file. A disk that is full, or gone, stops nobody."""
        if self._path is not None:
            with suppress(OSError):
                self._path.touch()

    def clear(self) -> None:
        """Remove what an earlier worker left, so that nobody takes it for alive, or ready."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def is_fresh(path: Path, max_age_s: float) -> bool:
    """Whether a pulse was felt within that time."""
    try:
        return time.time() - path.stat().st_mtime <= max_age_s
    except OSError:
        return False


if __name__ == "__main__":
    # Not sys.exit: tearing the interpreter down would take as long as all the rest.
    os._exit(0 if is_fresh(Path(sys.argv[1]), float(sys.argv[2])) else 1)
