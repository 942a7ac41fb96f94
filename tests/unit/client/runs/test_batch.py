from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.recording_display import RecordingDisplay
from tests.unit.client.service import KEY, VIDEO, Service

from dubline.client.calls.backoff import MAX_TRIES
from dubline.client.calls.options import Controls
from dubline.client.client import Client
from dubline.client.errors import UnreachableError
from dubline.client.runs.batch import BatchRun
from dubline.client.runs.manifest import Row

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.client.runs.outcome import Outcome


def rows(media: Path, **portraits: str) -> list[Row]:
    return [
        Row(custom_id=name, portrait=media / portrait, speech=media / "hello.mp3")
        for name, portrait in portraits.items()
    ]


def run(client: Client, media: Path, **portraits: str) -> tuple[dict[str, Outcome], RecordingDisplay]:
    display = RecordingDisplay()
    outcomes = BatchRun(client, rows(media, **portraits), media / "out", display).run()
    assert [outcome.name for outcome in outcomes] == list(portraits)
    assert set(display.finished) == set(portraits)
    return {outcome.name: outcome for outcome in outcomes}, display


def test_a_video_is_downloaded_with_the_url_of_the_list_if_it_is_valid(
    service: Service, client: Client, media: Path
) -> None:
    service.faults["GET /job-1.mp4"] = [httpx2.Response(403)]
    outcomes, _ = run(client, media, one="face.jpg", two="face.jpg")
    assert [one.path.read_bytes() for one in outcomes.values() if one.path] == [VIDEO, VIDEO]
    assert [line for line in service.calls if line.startswith("GET /v1/jobs/")] == ["GET /v1/jobs/job-1"]


def test_only_controls_that_are_set_are_sent(service: Service, client: Client, media: Path) -> None:
    plain, calm = rows(media, plain="face.jpg", calm="face.jpg")
    calm = calm.model_copy(update={"controls": Controls(head_motion=0.0, blink=2.0)})
    BatchRun(client, [plain, calm], media / "out", RecordingDisplay()).run()
    sent = [job["request"].get("controls") for job in service.jobs.values()]
    assert sent == [None, {"head_motion": 0.0, "blink": 2.0}]


def test_each_file_is_sent_once_and_all_jobs_in_one_call(service: Service, client: Client, media: Path) -> None:
    outcomes, display = run(client, media, one="face.jpg", two="face.jpg", three="face.jpg")
    assert service.calls.count("POST /v1/uploads") == 2
    assert service.calls.count("POST /v1/batches") == 1
    for name, outcome in outcomes.items():
        assert outcome.path == media / "out" / f"{name}.mp4"
        assert outcome.path.read_bytes() == VIDEO
        states = [state for shown, state in display.shown if shown == name]
        assert states[0], states[-1] == ("uploading", "downloading")


def test_a_rejected_upload_fails_only_its_rows(service: Service, client: Client, media: Path) -> None:
    outcomes, _ = run(client, media, good="face.jpg", bad="wall.jpg")
    assert outcomes["good"].path
    assert outcomes["bad"].path is None
    assert outcomes["bad"].fault
    assert outcomes["bad"].fault.code == "no_face"
    assert len(service.jobs) == 2


def test_a_file_that_cannot_be_sent_fails_only_its_rows(service: Service, client: Client, media: Path) -> None:
    outcomes, _ = run(client, media, good="face.jpg", bad="empty.jpg", worse="gone.jpg")
    assert outcomes["good"].path
    assert outcomes["bad"].fault
    assert outcomes["bad"].fault.code == "empty_upload"
    assert outcomes["worse"].fault
    assert "Cannot read" in outcomes["worse"].fault.detail
    assert len(service.jobs) == 1


def test_without_a_valid_row_no_batch_is_created(service: Service, client: Client, media: Path) -> None:
    run(client, media, bad="empty.jpg")
    assert "POST /v1/batches" not in service.calls


def test_a_failed_download_fails_its_row(service: Service, client: Client, media: Path) -> None:
    service.faults["GET /job-0.mp4"] = [httpx2.Response(404)]
    outcomes, _ = run(client, media, one="face.jpg", two="face.jpg")
    assert outcomes["one"].fault
    assert outcomes["two"].path


def test_a_job_that_is_deleted_meanwhile_fails_its_row(service: Service, client: Client, media: Path) -> None:
    respond = service.respond

    def delete_one(request: httpx2.Request) -> httpx2.Response:
        if service.calls and service.calls[-1] == "POST /v1/batches":
            del service.jobs["job-1"]
        return respond(request)

    with Client(client.url, KEY, httpx2.MockTransport(delete_one)) as deleting:
        outcomes, _ = run(deleting, media, one="face.jpg", two="face.jpg", three="face.jpg")
    assert [name for name, outcome in outcomes.items() if outcome.path] == ["one", "three"]
    assert outcomes["two"].fault
    assert outcomes["two"].fault.code == "not_found"


def test_an_unreachable_server_ends_the_run(service: Service, client: Client, media: Path) -> None:
    service.faults["GET /v1/limits"] = [httpx2.ConnectError("refused") for _ in range(MAX_TRIES)]
    with pytest.raises(UnreachableError):
        run(client, media, one="face.jpg")


def test_the_options_of_a_row_are_sent(service: Service, client: Client, media: Path) -> None:
    row = rows(media, one="face.jpg")[0].model_copy(update={"preset": "base", "seed": 5, "deadline_s": 90.0})
    BatchRun(client, [row], media / "out", RecordingDisplay()).run()
    (job,) = service.jobs.values()
    assert (job["request"]["preset"], job["request"]["seed"], job["request"]["deadline_s"]) == ("base", 5, 90)
