"""The hashes of videos in their folder, which anybody can have written."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

from dubline.client.runs.video_hashes import NAME, VideoHashes

if TYPE_CHECKING:
    from pathlib import Path


def test_only_the_owner_reads_the_hashes(tmp_path: Path) -> None:
    VideoHashes(tmp_path, {"one": "row"}).add("one", "0" * 64, "job-1")
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_no_part_is_removed_but_those_of_jobs_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    outside, own, other = tmp_path / "outside.part", folder / ".job-1.part", folder / ".job-2.part"
    for file in (outside, own, other):
        file.touch()
    hashes = VideoHashes(folder, {"one": "row"})
    for job_id in ("/../outside", "job-1"):
        hashes.add("one", "0" * 64, job_id)
    again = VideoHashes(folder, {"one": "row"})
    again.remove_parts()
    assert [file.exists() for file in (outside, own, other)] == [True, False, True]


def test_a_line_that_was_broken_off_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps(["one", "row", "sha", "job-0"])[:-5])
    VideoHashes(tmp_path, {"one": "row"}).add("one", "0" * 64, "job-1")
    assert VideoHashes(tmp_path, {"one": "row"}).of("one") == {"0" * 64}
