from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from dubline.worker.runtime.liveness import LivenessFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def felt(path: Path, max_age_s: float) -> int:
    command = [sys.executable, "-m", "dubline.worker.runtime.liveness", path, str(max_age_s)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def test_a_pulse_is_felt_while_it_is_fresh(tmp_path: Path) -> None:
    path = tmp_path / "liveness"
    liveness = LivenessFile.at(str(path))
    assert felt(path, 60) == 1
    liveness.touch()
    assert felt(path, 60) == 0
    os.utime(path, (path.stat().st_mtime - 90,) * 2)
    assert felt(path, 60) == 1
    liveness.touch()
    assert felt(path, 60) == 0
    liveness.clear()
    assert felt(path, 60) == 1
    liveness.clear()


def test_a_disk_without_room_for_a_pulse_stops_nobody(tmp_path: Path) -> None:
    LivenessFile(tmp_path / "gone" / "liveness").touch()


def test_no_name_means_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LivenessFile.at("").touch()
    assert list(tmp_path.iterdir()) == []


def test_to_feel_a_pulse_loads_nothing_that_takes_long() -> None:
    script = (
        "import sys; before = set(sys.modules); import dubline.worker.runtime.liveness; "
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) == {"dubline"}
