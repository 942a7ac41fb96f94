"""Runs of a batch that were interrupted, and the next run of the same command."""

from __future__ import annotations

import errno
import json
import stat
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.recording_display import RecordingDisplay
from tests.unit.client.service import BUCKET, KEY, URL, VIDEO, Service, problem

from dubline.client.client import Client
from dubline.client.errors import ClientError, ManifestError, RefusedError
from dubline.client.runs.batch import BatchRun
from dubline.client.runs.manifest import Row
from dubline.client.runs.run_state import RunState
from dubline.client.runs.video_hashes import NAME

if TYPE_CHECKING:
    from pathlib import Path

#: More requests than a run of two rows sends.
MANY = 100


def rows(media: Path, **portraits: str) -> list[Row]:
    return [
        Row(custom_id=name, portrait=media / portrait, speech=media / "hello.mp3")
        for name, portrait in portraits.items()
    ]


def run(client: Client, batch: list[Row], out: Path, *, replace: bool = False) -> RecordingDisplay:
    display = RecordingDisplay()
    outcomes = BatchRun(client, batch, out, display, replace=replace).run()
    assert [outcome.path for outcome in outcomes] == [out / f"{row.custom_id}.mp4" for row in batch]
    left = sorted(path for path in out.iterdir() if path.name != NAME)
    assert [path.name for path in left] == sorted(f"{row.custom_id}.mp4" for row in batch)
    assert all(path.read_bytes() == VIDEO for path in left)
    return display


def interrupted(service: Service, at: int, *, received: bool) -> Client:
    """Return a client that is interrupted at a request, before or after the service receives it."""
    seen: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        if len(seen) != at:
            return service.respond(request)
        if received:
            service.respond(request)
        raise KeyboardInterrupt

    return Client(URL, KEY, httpx2.MockTransport(respond))


@pytest.mark.parametrize("received", [False, True])
def test_a_batch_is_sent_once_wherever_a_run_is_interrupted(tmp_path: Path, media: Path, *, received: bool) -> None:
    batch = rows(media, one="face.jpg", two="face.jpg")
    for at in range(1, MANY):
        service, out = Service(), tmp_path / f"out-{at}"
        with interrupted(service, at, received=received) as first:
            try:
                BatchRun(first, batch, out, RecordingDisplay()).run()
            except KeyboardInterrupt:
                pass
            else:
                break
        with Client(URL, KEY, service.transport()) as second:
            run(second, batch, out)
        assert (len(service.batches), len(service.jobs), len(service.uploads)) == (1, 2, 2)
    assert 10 < at < MANY - 1


def refused(service: Service, batch: list[Row], out: Path, path: str) -> None:
    """Run a batch that ends because one request is refused."""
    service.faults[f"GET {path}"] = [problem(401, "unauthorized", "No.")]
    with Client(URL, KEY, service.transport()) as client, pytest.raises(RefusedError, match="No"):
        BatchRun(client, batch, out, RecordingDisplay()).run()


def test_a_batch_that_the_server_does_not_show_now_is_not_sent_again(
    service: Service, client: Client, tmp_path: Path, media: Path
) -> None:
    batch = rows(media, one="face.jpg")
    for path in ("/v1/batches/batch-0/jobs", "/v1/batches/batch-0"):
        refused(service, batch, tmp_path / "out", path)
    run(client, batch, tmp_path / "out")
    assert len(service.batches) == len(service.jobs) == 1


def test_jobs_of_a_batch_that_the_file_does_not_name_are_ignored(
    service: Service, client: Client, tmp_path: Path, media: Path
) -> None:
    batch = rows(media, one="face.jpg")
    refused(service, batch, tmp_path / "out", "/v1/batches/batch-0/jobs")
    service.jobs |= {f"job-of-{name}": {"id": f"job-of-{name}", "state": "queued"} for name in ("none", "other")}
    service.jobs["job-of-other"]["custom_id"] = "other"
    run(client, batch, tmp_path / "out")


def test_the_key_is_stored_before_anything_is_sent(tmp_path: Path, media: Path, service: Service) -> None:
    found: list[tuple[int, dict[str, object]]] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            (file,) = (tmp_path / "out").glob(".dubline-*.json")
            found.append((stat.S_IMODE(file.stat().st_mode), json.loads(file.read_bytes())))
        return service.respond(request)

    with Client(URL, KEY, httpx2.MockTransport(respond)) as client:
        run(client, rows(media, one="face.jpg"), tmp_path / "out")
    assert {mode for mode, _ in found} == {0o600}
    (key,) = service.batches
    assert found[0][1] == {"version": 1, "server": URL, "idempotency_key": key, "id": None}


def test_two_runs_that_begin_at_once_have_one_key(tmp_path: Path) -> None:
    first, second = (RunState(tmp_path, URL, ["row"]) for _ in range(2))
    assert first.key != second.key
    first.save()
    second.save()
    assert first.key == second.key == RunState(tmp_path, URL, ["row"]).key
    first.save("batch-0")
    assert RunState(tmp_path, URL, ["row"]).id == "batch-0"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    state = RunState(tmp_path, URL, ["row"])
    state.save()
    state.path.write_text(state.path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ClientError, match="is not the state of a run"):
        RunState(tmp_path, URL, ["row"])


def test_a_run_that_continues_says_so_and_sends_nothing(
    tmp_path: Path, media: Path, service: Service, client: Client
) -> None:
    batch = rows(media, one="face.jpg", two="face.jpg")
    service.faults["GET /v1/batches/batch-0"] = [problem(401, "unauthorized", "No.")]
    with pytest.raises(ClientError):
        run(client, batch, tmp_path / "out")
    service.calls.clear()
    with Client(URL, KEY, service.transport()) as second:
        display = run(second, batch, tmp_path / "out")
    assert display.notices == ["batch batch-0 continues: an earlier run has sent it. Nothing is sent again."]
    assert {line for line in service.calls if not line.startswith("GET")} == set()


def test_a_changed_row_or_file_is_a_new_batch(tmp_path: Path, media: Path, service: Service) -> None:
    out = tmp_path / "out"
    batch = rows(media, one="face.jpg")
    (media / "copy.jpg").write_bytes(b"a face")
    assert _left(service, batch, out) == "batch-0"
    assert _left(service, rows(media, one="copy.jpg"), out) == "batch-0", "the name of a file does not matter"
    assert _left(service, [batch[0].model_copy(update={"seed": 5})], out) == "batch-1"
    (media / "face.jpg").write_bytes(b"another face")
    assert _left(service, batch, out) == "batch-2"
    assert len(service.uploads) == 3, "the speech and the first face are sent once"


def test_a_batch_that_was_deleted_is_sent_anew(tmp_path: Path, media: Path, service: Service) -> None:
    batch = rows(media, one="face.jpg")
    deleted = _left(service, batch, tmp_path / "out")
    service.batches.clear()
    service.jobs.clear()
    service.faults.clear()
    service.made = {key: made for key, made in service.made.items() if key.startswith("dubline")}
    with Client(URL, KEY, service.transport()) as client:
        assert run(client, batch, tmp_path / "out").notices == []
    assert (deleted, len(service.batches), len(service.uploads)) == ("batch-0", 1, 2)


def _left(service: Service, batch: list[Row], out: Path) -> str:
    """Run until the batch is accepted; return its id."""
    with Client(URL, KEY, service.transport()) as client:
        service.faults |= {f"GET /v1/batches/batch-{number}/jobs": [problem(401, "no", "No.")] for number in range(3)}
        one = BatchRun(client, batch, out, RecordingDisplay())
        with pytest.raises(ClientError):
            one.run()
        return one.batch_id


def test_existing_files_are_replaced_only_on_request(
    tmp_path: Path, media: Path, service: Service, client: Client
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.mp4").write_bytes(b"mine")
    batch = rows(media, one="face.jpg")
    with pytest.raises(ClientError, match=r"one\.mp4\n.*--force"):
        run(client, batch, out)
    assert ((out / "one.mp4").read_bytes(), service.calls) == (b"mine", ["GET /v1/limits"])
    with Client(URL, KEY, service.transport()) as second:
        run(second, batch, out, replace=True)


def test_too_many_rows_and_too_large_files_are_refused_before_sending(
    tmp_path: Path, media: Path, service: Service, client: Client
) -> None:
    service.limits |= {"batch_rows": 1, "portrait_bytes": 5, "queued_jobs": 1, "held": {"jobs": 8}}
    with pytest.raises(ManifestError) as caught:
        run(client, rows(media, one="face.jpg", two="wall.jpg"), tmp_path / "out")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("The batch has 2 rows; the server accepts 1.")
    assert lines[1].startswith("The batch has 2 rows; 1 may be unfinished at once.")
    assert lines[2].endswith("face.jpg has 6 bytes; the server accepts 5 for a portrait. Use a smaller file.")
    assert len(lines) == 5
    assert service.calls == ["GET /v1/limits"]


def test_a_file_that_is_in_the_bucket_already_counts_as_sent(media: Path, service: Service, client: Client) -> None:
    service.faults["PUT /upload-0"] = [httpx2.ReadTimeout(""), httpx2.Response(412)]
    service.uploads["upload-0"] = {"id": "upload-0", "state": "pending", "kind": "portrait", "bytes": b"a face"}
    service.made["first"] = "upload-0"
    body = {"id": "upload-0", "state": "pending", "put": {"url": f"{BUCKET}/upload-0", "headers": {}}}
    service.faults["POST /v1/uploads"] = [httpx2.Response(201, json=body)]
    assert client.uploads.send(media / "face.jpg", "portrait").state == "ready"


def test_a_rejected_file_is_sent_anew_by_the_next_run(media: Path, service: Service, client: Client) -> None:
    assert client.uploads.send(media / "wall.jpg", "portrait").state == "rejected"
    assert client.uploads.send(media / "wall.jpg", "portrait").state == "rejected"
    ids = {client.uploads.send(media / "hello.mp3", "speech").id for _ in range(2)}
    assert len(ids) == 1
    assert len(service.uploads) == 3


@pytest.mark.parametrize(("status", "kept"), [(422, 0), (413, 0), (401, 1), (429, 1)])
def test_a_refused_batch_leaves_a_state_only_if_it_can_be_continued(tmp_path: Path, status: int, kept: int) -> None:
    state = RunState(tmp_path, URL, ["row"])
    state.save()
    # As long as its key is not stored, a state is that of a first run.
    state.is_new = True
    with pytest.raises(RefusedError), state.forgotten_if_refused():
        raise RefusedError(status, "code", "No.")
    assert len(list(tmp_path.iterdir())) == kept


def test_a_refusal_forgets_no_state_of_an_earlier_run(tmp_path: Path) -> None:
    RunState(tmp_path, URL, ["row"]).save()
    state = RunState(tmp_path, URL, ["row"])
    with pytest.raises(RefusedError), state.forgotten_if_refused():
        raise RefusedError(422, "code", "No.")
    assert not RunState(tmp_path, URL, ["row"]).is_new


def test_a_refused_row_leaves_no_file_in_the_folder(
    tmp_path: Path, media: Path, service: Service, client: Client
) -> None:
    service.faults["POST /v1/batches"] = [problem(422, "no_such_face", "No such face.")]
    with pytest.raises(RefusedError):
        run(client, rows(media, one="face.jpg"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_state_that_cannot_be_written_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ClientError, match="No space left on device"):
        RunState(tmp_path, URL, ["row"]).save()
    assert list(tmp_path.iterdir()) == []
