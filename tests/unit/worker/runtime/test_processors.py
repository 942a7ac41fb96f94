from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dubline.worker.runtime import processors

if TYPE_CHECKING:
    from pathlib import Path

#: A quota of "max" or -1 is none.
CASES = {
    "two, in version 2": ("0::/pod/worker", {"pod/worker/cpu.max": "200000 100000"}, 2),
    "two and a half": ("0::/pod/worker", {"pod/worker/cpu.max": "250000 100000"}, 2),
    "less than one": ("0::/pod/worker", {"pod/worker/cpu.max": "50000 100000"}, 1),
    "none": ("0::/pod/worker", {"pod/worker/cpu.max": "max 100000"}, 64),
    "that of a group around": (
        "0::/pod/worker",
        {"pod/worker/cpu.max": "max 100000", "pod/cpu.max": "300000 100000"},
        3,
    ),
    "the smallest": ("0::/pod/worker", {"pod/worker/cpu.max": "800000 100000", "cpu.max": "300000 100000"}, 3),
    "in a namespace of its own": ("0::/", {"cpu.max": "400000 100000"}, 4),
    "four, in version 1": (
        "4:cpu,cpuacct:/docker/7f\n0::/",
        {"cpu,cpuacct/docker/7f/cpu.cfs_quota_us": "400000", "cpu,cpuacct/docker/7f/cpu.cfs_period_us": "100000"},
        4,
    ),
    "at the mount point, in version 1": (
        "4:memory:/docker/7f\n3:cpu:/docker/7f",
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        1,
    ),
    "none, in version 1": ("2:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    "damaged": ("0::/", {"cpu.max": ""}, 64),
    "that of another controller": ("4:memory:/pod", {"pod/cpu.max": "100000 100000"}, 64),
}


@pytest.mark.parametrize("case", CASES)
def test_a_quota_limits_the_processors(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, files, expected = CASES[case]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{groups}\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert processors.usable(tmp_path) == expected


def test_the_affinity_limits_the_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert processors.usable(tmp_path) == 3


def test_this_machine_has_a_processor() -> None:
    assert 1 <= processors.usable() <= (os.cpu_count() or 1)
