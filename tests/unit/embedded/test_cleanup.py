from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from dubline.embedded.cleanup import CleanupProcess

if TYPE_CHECKING:
    from pathlib import Path


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], start_new_session=True)  # noqa: S607


def test_watched_processes_are_stopped_and_folders_removed(tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "file").touch()
    cleanup = CleanupProcess()
    with sleeper() as left:
        cleanup.watch_folder(folder)
        # Not SIGINT, which programs of a test run in the background ignore.
        cleanup.watch(-left.pid, signal.SIGTERM)
        # Reaped at once, as by init, because a zombie counts as running.
        threading.Thread(target=left.wait).start()
        cleanup.close()
        assert left.wait(60) == -signal.SIGTERM
    assert not folder.exists()


def test_an_unregistered_process_is_not_stopped() -> None:
    cleanup = CleanupProcess()
    with sleeper() as other:
        cleanup.watch(-other.pid, signal.SIGKILL)
        cleanup.forget(-other.pid)
        cleanup.close()
        assert other.poll() is None
        other.kill()


def test_closing_twice_is_harmless() -> None:
    cleanup = CleanupProcess()
    cleanup.close()
    cleanup.close()


@pytest.mark.parametrize("name", [b"line\nfeed", b"no UTF-8: \xff"])
def test_a_folder_of_any_name_is_removed_and_no_other(tmp_path: Path, name: bytes) -> None:
    folder, other = tmp_path / os.fsdecode(name), tmp_path / "line"
    folder.mkdir()
    other.mkdir()
    cleanup = CleanupProcess()
    cleanup.watch_folder(folder)
    cleanup.close()
    assert list(tmp_path.iterdir()) == [other]
