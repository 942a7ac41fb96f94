from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from tests.integration.waiting import wait_until

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


def test_a_process_may_end_gracefully_and_is_killed_if_it_does_not(tmp_path: Path) -> None:
    trap = "trap '{}' TERM; touch {}; while true; do sleep 0.02; done"
    ended, started = tmp_path / "ended", [tmp_path / "graceful", tmp_path / "stubborn"]
    cleanup = CleanupProcess()
    scripts = [trap.format(f"sleep 0.2; touch {ended}; exit", started[0]), trap.format("", started[1])]
    with (
        subprocess.Popen(["sh", "-c", scripts[0]], start_new_session=True) as graceful,  # noqa: S607
        subprocess.Popen(["sh", "-c", scripts[1]], start_new_session=True) as stubborn,  # noqa: S607
    ):
        for process in (graceful, stubborn):
            cleanup.watch(process.pid, signal.SIGTERM)
            threading.Thread(target=process.wait).start()
        wait_until(lambda: all(file.exists() for file in started))
        cleanup.close()
        try:
            assert (graceful.wait(10), stubborn.wait(10)) == (0, -signal.SIGKILL)
        finally:
            stubborn.kill()
    assert ended.exists()


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
