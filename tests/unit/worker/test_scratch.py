from pathlib import Path

import pytest

from dubline.worker import scratch


def test_a_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    parent = tmp_path / "not" / "there" / "yet"
    with scratch.home(parent) as folder, scratch.attempt(folder) as attempt:
        (attempt / "segment.mp4").write_bytes(b"frames")
    assert list(parent.iterdir()) == []


def test_an_attempt_that_fails_is_cleaned_up(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch.attempt(tmp_path) as attempt:
            (attempt / "motion.npy").write_bytes(b"latents")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_child_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "attempt-killed").mkdir()
    (tmp_path / "attempt-killed" / "motion.npy").write_bytes(b"latents")
    scratch.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
