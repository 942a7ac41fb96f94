from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime import scratch

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_removes_its_folder(tmp_path: Path) -> None:
    parent = tmp_path / "not" / "there" / "yet"
    with scratch.home(parent) as folder, scratch.attempt(folder) as attempt:
        (attempt / "segment.mp4").write_bytes(b"frames")
    assert list(parent.iterdir()) == []


def test_a_folder_is_unlocked_at_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        with scratch._locked(tmp_path), pytest.raises(BlockingIOError), scratch._locked(tmp_path):
            pass


def test_the_folder_of_a_failed_attempt_is_removed(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch.attempt(tmp_path) as attempt:
            (attempt / "motion.npy").write_bytes(b"latents")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_killed_child_are_removed(tmp_path: Path) -> None:
    (tmp_path / "attempt-killed").mkdir()
    (tmp_path / "attempt-killed" / "motion.npy").write_bytes(b"latents")
    scratch.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def aged(folder: Path) -> Path:
    long_ago = folder.stat().st_mtime - 2 * scratch.YOUNG_S
    os.utime(folder, (long_ago, long_ago))
    return folder


def test_a_worker_removes_folders_of_killed_workers_only(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from dubline.worker.runtime import scratch\n"
        "with scratch.home(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'motion.npy').write_bytes(b'latents')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / "dubline-other").mkdir()
    with scratch.home(tmp_path) as running:
        # A young folder may belong to a worker that has not locked it yet.
        assert left.exists()
        aged(left)
        aged(running)
        with scratch.home(tmp_path):
            assert running.exists()
            assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["dubline-other"]
