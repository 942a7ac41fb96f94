from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dubline.client.calls.responses import Job, Result
from dubline.client.errors import ClientError
from dubline.client.runs.local_files import check_target, create_folder, file_fault, find, find_file

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.client import Client

#: More characters than a name may have.
LONG = "x" * 300


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("name", [LONG, f"{LONG}/face.jpg", "a\0b", "face.jpg/more"])
def test_a_name_that_no_file_can_have_is_found_nowhere(media: Path, name: str) -> None:
    assert find(media / name) == media / name
    assert file_fault(media / name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("gone.jpg", "The file .*gone.jpg does not exist"),
        (LONG, "cannot be read: File name too long"),
        ("a\0b", "zero character"),
        (".", "is a folder; name a file"),
        ("pipe", "is a device or a pipe"),
    ],
)
def test_a_path_that_names_no_file_says_why(media: Path, pipe: Path, name: str, fault: str) -> None:
    assert pipe.exists()
    with pytest.raises(ClientError, match=fault):
        find_file(media / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_file_in_a_closed_folder_says_that_it_cannot_be_read(media: Path) -> None:
    closed = media / "closed"
    closed.mkdir(mode=0)
    assert "cannot be read: Permission denied" in file_fault(find(closed / "face.jpg"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [(".", "is a folder"), ("pipe", "which a video would replace"), (LONG, "File name too long")],
)
def test_a_target_that_is_no_file_is_refused(tmp_path: Path, pipe: Path, name: str, fault: str) -> None:
    assert pipe.exists()
    with pytest.raises(ClientError, match=fault):
        check_target(tmp_path / name)


def test_a_folder_whose_name_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"Cannot write to the folder .* too long"):
        create_folder(tmp_path / LONG)


def test_a_download_replaces_no_device_and_no_pipe(client: Client, pipe: Path) -> None:
    job = Job(id="job-0", state="succeeded", result=Result(url="http://bucket.test/job-0.mp4"))
    with pytest.raises(ClientError, match="a device or a pipe"):
        client.jobs.fetch(job, pipe, replace=True)
    assert pipe.is_fifo()
