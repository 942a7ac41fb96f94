from __future__ import annotations

import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from dubline.embedded.cleanup import Sweeper

if TYPE_CHECKING:
    from pathlib import Path


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], start_new_session=True)  # noqa: S607


def test_what_is_left_is_stopped_and_the_folder_removed(tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "file").touch()
    sweeper = Sweeper()
    with sleeper() as left:
        sweeper.watch_folder(folder)
        # Not SIGINT, which a test run in the background has its programs ignore.
        sweeper.watch(-left.pid, signal.SIGTERM)
        # Buried at once, as init would, or it would seem to live on.
        threading.Thread(target=left.wait).start()
        sweeper.close()
        assert left.wait(10) == -signal.SIGTERM
    assert not folder.exists()


def test_what_was_taken_back_is_left_alone() -> None:
    sweeper = Sweeper()
    with sleeper() as other:
        sweeper.watch(-other.pid, signal.SIGKILL)
        sweeper.forget(-other.pid)
        sweeper.close()
        assert other.poll() is None
        other.kill()


def test_closing_twice_is_harmless() -> None:
    sweeper = Sweeper()
    sweeper.close()
    sweeper.close()
