from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from dubline.worker.runtime.liveness import LivenessFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def exit_code(path: Path, max_age_s: float) -> int:
    command = [sys.executable, "-m", "dubline.worker.runtime.liveness", path, str(max_age_s)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def test_the_check_succeeds_while_the_file_is_fresh(tmp_path: Path) -> None:
    path = tmp_path / "liveness"
    liveness = LivenessFile.at(str(path))
    assert exit_code(path, 60) == 1
    liveness.touch()
    assert exit_code(path, 60) == 0
    os.utime(path, (path.stat().st_mtime - 90,) * 2)
    assert exit_code(path, 60) == 1
    liveness.touch()
    assert exit_code(path, 60) == 0
    liveness.clear()
    assert exit_code(path, 60) == 1
    liveness.clear()


def test_a_quarantined_worker_is_alive_and_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "liveness"
    liveness = LivenessFile.at(str(path))
    ready = ["test", "-f", str(path), "-a", "!", "-s", str(path)]
    liveness.touch()
    assert subprocess.run(ready, check=False).returncode == 0
    os.utime(path, (0, 0))
    liveness.withdraw()
    assert exit_code(path, 60) == 0
    assert subprocess.run(ready, check=False).returncode == 1
    liveness.clear()
    liveness.touch()
    assert subprocess.run(ready, check=False).returncode == 0


def test_a_missing_disk_raises_no_error(tmp_path: Path) -> None:
    LivenessFile(tmp_path / "gone" / "liveness").touch()


def test_an_empty_name_disables_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LivenessFile.at("").touch()
    assert list(tmp_path.iterdir()) == []


def test_the_check_imports_only_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import dubline.worker.runtime.liveness; "
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) == {"dubline"}
