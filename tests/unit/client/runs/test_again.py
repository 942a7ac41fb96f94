"""Runs of a batch in the folder of a finished one: the same rows again, and rows of which some have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.client.recording_display import RecordingDisplay
from tests.unit.client.runs.test_continuing import rows, run
from tests.unit.client.service import KEY, SHA256, URL, VIDEO, Service

from dubline.client.client import Client
from dubline.client.errors import ClientError
from dubline.client.runs.batch import BatchRun
from dubline.client.runs.video_hashes import NAME, VideoHashes

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.runs.manifest import Row

NOTHING_SENT = (
    "2 of 2 videos are in the folder, unaltered, from an earlier run. Nothing is sent. "
    "To render one again, remove its file."
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def batch(media: Path, out: Path) -> list[Row]:
    """Two rows whose videos are in the folder."""
    batch = rows(media, a="face.jpg", b="face.jpg")
    with Client(URL, KEY, Service().transport()) as client:
        run(client, batch, out)
    return batch


def sent(service: Service) -> list[str]:
    return [job["custom_id"] for job in service.jobs.values()]


@pytest.mark.parametrize("replace", [False, True])
def test_a_finished_batch_that_runs_again_needs_no_request(
    batch: list[Row], out: Path, service: Service, client: Client, *, replace: bool
) -> None:
    display = run(client, batch, out, replace=replace)
    assert service.calls == []
    assert display.notices == [NOTHING_SENT]
    assert display.finished == {"a": "done", "b": "done"}


def test_a_batch_whose_server_ended_with_it_needs_no_request_either(
    media: Path, out: Path, service: Service, client: Client
) -> None:
    batch = rows(media, a="face.jpg", b="face.jpg")
    out.mkdir()
    with Client("http://other.test", KEY, Service().transport()) as first:
        BatchRun(first, batch, out, RecordingDisplay(), kept=False).run()
    assert run(client, batch, out).notices == [NOTHING_SENT]
    assert service.calls == []


def test_a_new_row_is_sent_and_the_others_are_kept(
    media: Path, batch: list[Row], out: Path, service: Service, client: Client
) -> None:
    display = run(client, [*batch, *rows(media, c="face.jpg")], out)
    assert sent(service) == ["c"]
    assert display.notices[0].startswith("2 of 3 videos are in the folder, unaltered, from an earlier run. They are")


def test_a_changed_row_replaces_its_video_only_on_request(
    batch: list[Row], out: Path, service: Service, client: Client
) -> None:
    changed = [batch[0].model_copy(update={"seed": 5}), batch[1]]
    with pytest.raises(ClientError) as refused:
        run(client, changed, out)
    assert str(refused.value) == (
        "These files exist already, and no run in this folder has made them for these rows:\n"
        f"{out}/a.mp4 (its row, or a file of it, has changed since)\n"
        "Nothing was sent. With --force these rows are rendered and the files replaced; "
        "1 of 2 videos are unaltered and kept. Or name another folder with --out."
    )
    assert service.calls == ["GET /v1/limits"]
    with Client(URL, KEY, service.transport()) as second:
        display = run(second, changed, out, replace=True)
    assert sent(service) == ["a"]
    assert display.notices[1] == "1 of 2 videos are replaced, each when its new one is complete."


def test_a_changed_file_changes_its_rows(
    media: Path, batch: list[Row], out: Path, service: Service, client: Client
) -> None:
    (media / "face.jpg").write_bytes(b"another face")
    with pytest.raises(ClientError, match=r"a\.mp4 \(its row.+\n.+b\.mp4 \(its row"):
        run(client, batch, out)
    assert service.uploads == {}


def test_a_changed_row_without_a_video_is_sent(batch: list[Row], out: Path, service: Service, client: Client) -> None:
    (out / "a.mp4").unlink()
    run(client, [batch[0].model_copy(update={"seed": 5}), batch[1]], out)
    assert sent(service) == ["a"]


def test_a_row_whose_video_was_removed_is_rendered_again(
    batch: list[Row], out: Path, service: Service, client: Client
) -> None:
    (out / "b.mp4").unlink()
    run(client, batch, out)
    assert sent(service) == ["b"]


def test_another_deadline_makes_no_other_video(batch: list[Row], out: Path, service: Service, client: Client) -> None:
    run(client, [row.model_copy(update={"deadline_s": 90.0}) for row in batch], out)
    assert service.calls == []


def test_a_row_that_failed_is_sent_again(media: Path, out: Path, client: Client) -> None:
    batch = rows(media, a="face.jpg", b="wall.jpg")
    outcomes = BatchRun(client, batch, out, RecordingDisplay()).run()
    assert [bool(one.fault) for one in outcomes] == [False, True]
    (media / "wall.jpg").write_bytes(b"a face")
    other = Service()
    with Client(URL, KEY, other.transport()) as second:
        run(second, batch, out)
    assert sent(other) == ["b"]


def test_batches_of_one_folder_keep_each_others_downloads(
    media: Path, batch: list[Row], out: Path, client: Client
) -> None:
    other = rows(media, c="face.jpg")
    (out / ".job-of-c.part").write_bytes(VIDEO[:5])
    VideoHashes(out, {"c": "row"}).add("c", "00", "job-of-c")
    assert BatchRun(client, batch, out, RecordingDisplay()).run()
    assert (out / ".job-of-c.part").exists()
    assert BatchRun(client, other, out, RecordingDisplay()).run()
    assert not (out / ".job-of-c.part").exists()


def test_a_line_that_was_not_written_to_its_end_damages_no_other(tmp_path: Path) -> None:
    path = tmp_path / NAME
    for earlier in ("", '["a", "row", "0123'):
        path.write_text(earlier)
        VideoHashes(tmp_path, {"a": "one", "b": "two"}).add("b", SHA256, "job-1")
        assert VideoHashes(tmp_path, {"a": "one", "b": "two"}).of("b") == {SHA256}
    VideoHashes(tmp_path, {"a": "one", "b": "two"}).add("a", SHA256, "job-0")
    assert len(path.read_text().splitlines()) == 3
