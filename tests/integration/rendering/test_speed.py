"""The sections of `make bench` that render, at the smallest sizes. Times are not asserted."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from benchmarks import gpu
from benchmarks.speed import full_size, inputs, jobs, scan, sides

if TYPE_CHECKING:
    from pathlib import Path


def test_a_job_is_measured_in_a_process_with_the_checkouts_packages(tmp_path: Path) -> None:
    kind = jobs.Case(name="smallest", preset="tiny", picture=inputs.portrait(), speech_s=0.2, height_px=128)
    (found,) = jobs.compare((kind,), tmp_path, None, pairs=1)
    assert found["name"] == "smallest"
    assert set(found["now"]["stages_s_per_s"]) == {"preparing", "sampling", "rendering", "muxing"}
    assert found["now"]["processor_s_per_s"] > 0


def test_the_ratio_of_two_sides_is_that_of_their_pairs() -> None:
    def run(wall_s: float) -> dict[str, object]:
        return {"video_s": 2.0, "wall_s": wall_s, "processor_s": 1.0, "stages_s": {"rendering": wall_s}}

    runs = {"now": [run(1.0), run(2.0), run(2.0)], "baseline": [run(3.0), run(3.0), run(9.0)]}
    found = jobs.summary(runs)
    assert (found["speedup_wall"], found["speedup_wall_range"]) == (3.0, [1.5, 4.5])
    assert found["now"]["wall_s_per_s"] == 1.0
    assert found["speedup_processor"] == 1.0


def test_a_commit_is_checked_out_and_removed() -> None:
    inside = subprocess.run(["git", "rev-parse", "HEAD"], cwd=sides.ROOT, capture_output=True, check=False)  # noqa: S607
    if inside.returncode != 0:
        pytest.skip("this is no checkout of git, so no commit can be checked out")
    with sides.checked_out("HEAD") as folder:
        assert (folder / "worker" / "dubline" / "worker" / "child.py").is_file()
    assert not folder.exists()
    with pytest.raises(SystemExit, match="Name a commit"), sides.checked_out("no-such-commit"):
        pass


def test_full_size_pixels_and_scans_are_measured_beside_their_references() -> None:
    (pixels,) = full_size.measure((64,), 1, "tiny", 1)
    (scanned,) = scan.measure((8,), 1)
    assert set(pixels) == {"name", "networks_ms", "full size_ms", "full size by torch_ms", "ratio"}
    assert set(scanned) == {"name", "chunked_ms", "reference_ms", "attention_ms"}


def test_the_close_up_contains_its_face_and_the_speech_has_its_length(tmp_path: Path) -> None:
    picture = inputs.close_up(tmp_path)
    left, top, right, bottom = picture.face
    assert 0 <= left < right <= picture.width_px
    assert 0 <= top < bottom <= picture.height_px
    assert inputs.speech(tmp_path, 4.0).stat().st_size == 44 + 2 * 4 * inputs.RATE_HZ


def test_the_gpu_benchmark_runs_on_a_cpu_and_finds_parity_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = [name for name in gpu.SECTIONS if name not in {"jobs", "together"}]  # as above
    words = ["--device", "cpu", "--quick", "--out", str(tmp_path / "gpu.json"), "--only", *sections]
    monkeypatch.setattr("sys.argv", ["gpu", *words])
    gpu.main()
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert "cut_short=none" in capsys.readouterr().out.splitlines()[-1]
    (parity,) = found["parity"]
    assert parity["second run equal"]
    assert parity["worst_psnr_db"] > 100
    assert all(found[section] for section in sections)
    assert found["encoders"][0]["fps"] > 0
