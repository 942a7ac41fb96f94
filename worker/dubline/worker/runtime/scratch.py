"""The folder that one worker writes in: a subfolder per attempt, removed with it, swept after a crash."""

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
#: Seconds in which a folder that was made has surely been locked.
YOUNG_S: Final = 60.0


@contextmanager
def home(parent: Path) -> Iterator[Path]:
    """A folder for the life of one worker, below `parent`; gone afterwards, or when the next worker comes."""
    parent.mkdir(parents=True, exist_ok=True)
    _sweep_homes(parent)
    # Whoever is killed loses the lock, and by that the folder.
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True) as folder,
        _locked(Path(folder)),
    ):
        yield Path(folder)


def _sweep_homes(parent: Path) -> None:
    """Remove what killed workers left. Without it their disk fills up."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            # Young ones may be about to be locked.
            if time.time() - folder.stat().st_mtime > YOUNG_S:
                with _locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder; raises BlockingIOError where another process does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what a killed child left in its worker's folder; its successor calls this first."""
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def attempt(folder: Path) -> Iterator[Path]:
    """An empty folder for one attempt, removed whatever happens in it."""
    with tempfile.TemporaryDirectory(prefix="attempt-", dir=folder, ignore_cleanup_errors=True) as path:
        yield Path(path)
