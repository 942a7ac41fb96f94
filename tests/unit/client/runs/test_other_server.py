"""Runs of a batch in the folder of a run on another server, such as one that `dubline up` has started anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.recording_display import RecordingDisplay
from tests.unit.client.runs.test_continuing import MANY, interrupted, rows, run
from tests.unit.client.service import KEY, VIDEO, Service, problem

from dubline.client.client import Client
from dubline.client.errors import ClientError
from dubline.client.runs.batch import BatchRun
from dubline.client.runs.video_hashes import NAME

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.runs.manifest import Row

OTHER_URL = "http://other.test"


def half_done(service: Service, batch: list[Row], out: Path) -> None:
    """Run a batch until its first video is in the folder."""
    service.faults["GET /job-1.mp4"] = [httpx2.Response(400)]
    with Client("http://api.test", KEY, service.transport()) as client:
        one = BatchRun(client, batch, out, RecordingDisplay())
        one.run()
    assert not one.is_complete
    assert [path.name for path in out.glob("*.mp4")] == ["a.mp4"]


@pytest.fixture
def batch(media: Path, service: Service, tmp_path: Path) -> list[Row]:
    """Two rows, of which the first has a video of a server that is gone."""
    batch = rows(media, a="face.jpg", b="face.jpg")
    half_done(service, batch, tmp_path / "out")
    return batch


@pytest.fixture
def other() -> Service:
    return Service()


def test_unaltered_videos_are_kept_and_the_other_rows_are_sent(
    tmp_path: Path, batch: list[Row], other: Service
) -> None:
    with Client(OTHER_URL, KEY, other.transport()) as client:
        display = run(client, batch, tmp_path / "out")
    assert [job["custom_id"] for job in other.jobs.values()] == ["b"]
    said = (
        "1 of 2 videos are in the folder, unaltered, from an earlier run. They are kept, and the other rows are sent."
    )
    assert display.notices == [said]
    assert display.finished == {"a": "done", "b": "done"}


def test_the_part_of_an_interrupted_download_is_removed(tmp_path: Path, batch: list[Row], other: Service) -> None:
    part, foreign = tmp_path / "out" / ".job-1.part", tmp_path / ".x.part"
    part.write_bytes(VIDEO[:5])
    foreign.write_bytes(VIDEO)
    file = tmp_path / "out" / NAME
    file.write_bytes(file.read_bytes() + b'["b", "row", "abc", "x/../../.x"]\n')
    with Client(OTHER_URL, KEY, other.transport()) as client:
        run(client, batch, tmp_path / "out")
    assert foreign.exists()


def test_such_a_run_is_continued(tmp_path: Path, batch: list[Row], other: Service) -> None:
    other.faults["GET /v1/batches/batch-0/jobs"] = [problem(401, "unauthorized", "No.")]
    with Client(OTHER_URL, KEY, other.transport()) as client, pytest.raises(ClientError):
        BatchRun(client, batch, tmp_path / "out", RecordingDisplay()).run()
    with Client(OTHER_URL, KEY, other.transport()) as client:
        assert run(client, batch, tmp_path / "out").finished == {"a": "done", "b": "done"}
    assert (len(other.batches), len(other.jobs)) == (1, 1)


def test_an_altered_video_is_neither_kept_nor_replaced(tmp_path: Path, batch: list[Row], other: Service) -> None:
    (tmp_path / "out" / "a.mp4").write_bytes(VIDEO + b"altered")
    with Client(OTHER_URL, KEY, other.transport()) as client, pytest.raises(ClientError) as refused:
        run(client, batch, tmp_path / "out")
    assert f"no run in this folder has made them for these rows:\n{tmp_path}/out/a.mp4\nNothing" in str(refused.value)
    assert (tmp_path / "out" / "a.mp4").read_bytes() == VIDEO + b"altered"
    assert other.calls == ["GET /v1/limits"]
    with Client(OTHER_URL, KEY, other.transport()) as client:
        run(client, batch, tmp_path / "out", replace=True)
    assert len(other.jobs) == 2


def test_a_batch_that_the_server_has_lost_keeps_its_videos(tmp_path: Path, service: Service, batch: list[Row]) -> None:
    service.batches.clear()
    service.jobs.clear()
    service.made.clear()
    with Client("http://api.test", KEY, service.transport()) as client:
        run(client, batch, tmp_path / "out")
    assert [job["custom_id"] for job in service.jobs.values()] == ["b"]


def test_a_folder_with_every_video_needs_no_job(tmp_path: Path, batch: list[Row], other: Service) -> None:
    (tmp_path / "out" / "b.mp4").write_bytes(VIDEO)
    with Client(OTHER_URL, KEY, other.transport()) as client:
        run(client, batch, tmp_path / "out")
    assert other.calls == []


def test_wherever_a_run_is_interrupted_another_server_makes_the_rest(tmp_path: Path, media: Path) -> None:
    batch = rows(media, a="face.jpg", b="face.jpg")
    for at in range(1, MANY):
        first, second, out = Service(), Service(), tmp_path / f"out-{at}"
        with interrupted(first, at, received=True) as client:
            try:
                BatchRun(client, batch, out, RecordingDisplay()).run()
            except KeyboardInterrupt:
                pass
            else:
                break
        done = len(list(out.glob("*.mp4")))
        with Client(OTHER_URL, KEY, second.transport()) as client:
            run(client, batch, out)
        assert len(second.jobs) == 2 - done
    assert 10 < at < MANY - 1


def test_a_line_that_was_not_written_to_its_end_is_ignored(tmp_path: Path, batch: list[Row], other: Service) -> None:
    file = tmp_path / "out" / NAME
    file.write_bytes(file.read_bytes() + b'["b", "row", "ab", "job')
    with Client(OTHER_URL, KEY, other.transport()) as client:
        run(client, batch, tmp_path / "out")
    assert len(other.jobs) == 1
