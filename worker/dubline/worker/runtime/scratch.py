"""The scratch folder of a worker: one subfolder per attempt, and removal of what killed processes left."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "dubline-worker-"
#: A new folder is locked within this time, s; younger unlocked folders are not removed.
YOUNG_S: Final = 60.0


@contextmanager
def home(parent: Path) -> Iterator[Path]:
    """Make a locked folder for one worker below `parent`, and remove it at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    _sweep_homes(parent)
    # The kernel releases the lock of a killed process, so the next worker can remove its folder.
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True) as folder,
        _locked(Path(folder)),
    ):
        yield Path(folder)


def _sweep_homes(parent: Path) -> None:
    """Remove the folders of killed workers, which would fill the disk."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            # A young folder may not be locked yet.
            if time.time() - folder.stat().st_mtime > YOUNG_S:
                with _locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder; raise BlockingIOError if another process has locked it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what a killed child left in its worker's folder; a new child calls this first."""
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def attempt(folder: Path) -> Iterator[Path]:
    """Make an empty folder for one attempt, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="attempt-", dir=folder, ignore_cleanup_errors=True) as path:
        yield Path(path)
