"""The folder that one worker writes in: a subfolder per attempt, removed with it, swept after a crash."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def home(parent: Path) -> Iterator[Path]:
    """A folder for the life of one worker process, below `parent`; gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dubline-worker-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def sweep(folder: Path) -> None:
    """Removes what a killed child left in its worker's folder; its successor calls this first."""
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def attempt(folder: Path) -> Iterator[Path]:
    """An empty folder for one attempt, removed whatever happens in it."""
    with tempfile.TemporaryDirectory(prefix="attempt-", dir=folder, ignore_cleanup_errors=True) as path:
        yield Path(path)
