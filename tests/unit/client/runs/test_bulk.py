from pathlib import Path
from typing import Self

import httpx2
import pytest
from tests.unit.client.service import KEY, VIDEO, Service, problem

from dubline.client.calls.backoff import TRIES
from dubline.client.calls.options import Controls, RequestedOptions
from dubline.client.client import Client
from dubline.client.errors import ClientError, UnreachableError
from dubline.client.runs.bulk import Bulk
from dubline.client.runs.manifest import Row
from dubline.client.runs.outcome import Outcome
from dubline.client.runs.single import Single, Wish


class Log:
    """A board that remembers."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self.finished: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, name: str, state: str, percent: float, note: str = "") -> None:
        assert 0 <= percent <= 100, note
        if (name, state) not in self.shown:
            self.shown.append((name, state))

    def finish(self, name: str, state: str, note: str = "") -> None:
        assert name not in self.finished, note
        self.finished[name] = state


def rows(media: Path, **portraits: str) -> list[Row]:
    return [
        Row(custom_id=name, portrait=media / portrait, speech=media / "hello.mp3")
        for name, portrait in portraits.items()
    ]


def run(client: Client, media: Path, **portraits: str) -> tuple[dict[str, Outcome], Log]:
    log = Log()
    outcomes = Bulk(client, rows(media, **portraits), media / "out", log).run()
    assert [outcome.name for outcome in outcomes] == list(portraits)
    assert set(log.finished) == set(portraits)
    return {outcome.name: outcome for outcome in outcomes}, log


def test_controls_of_a_row_are_asked_for_and_the_others_left_out(service: Service, client: Client, media: Path) -> None:
    plain, calm = rows(media, plain="face.jpg", calm="face.jpg")
    calm = calm.model_copy(update={"controls": Controls(head_motion=0.0, blink=2.0)})
    Bulk(client, [plain, calm], media / "out", Log()).run()
    asked = [job["asked"].get("controls") for job in service.jobs.values()]
    assert asked == [None, {"head_motion": 0.0, "blink": 2.0}]


def test_each_file_is_sent_once_and_all_jobs_go_in_one_call(service: Service, client: Client, media: Path) -> None:
    outcomes, log = run(client, media, one="face.jpg", two="face.jpg", three="face.jpg")
    assert service.calls.count("POST /v1/uploads") == 2
    assert service.calls.count("POST /v1/batches") == 1
    for name, outcome in outcomes.items():
        assert outcome.path == media / "out" / f"{name}.mp4"
        assert outcome.path.read_bytes() == VIDEO
        states = [state for shown, state in log.shown if shown == name]
        assert states[0], states[-1] == ("uploading", "downloading")


def test_a_rejected_upload_fails_its_own_rows_only(service: Service, client: Client, media: Path) -> None:
    outcomes, _ = run(client, media, good="face.jpg", bad="wall.jpg")
    assert outcomes["good"].path
    assert outcomes["bad"].path is None
    assert outcomes["bad"].fault
    assert outcomes["bad"].fault.code == "no_face"
    assert len(service.jobs) == 2


def test_a_file_that_is_not_accepted_at_all_fails_its_own_rows_only(
    service: Service, client: Client, media: Path
) -> None:
    outcomes, _ = run(client, media, good="face.jpg", bad="empty.jpg", worse="gone.jpg")
    assert outcomes["good"].path
    assert outcomes["bad"].fault
    assert outcomes["bad"].fault.code == "empty_upload"
    assert outcomes["worse"].fault
    assert "Cannot read" in outcomes["worse"].fault.detail
    assert len(service.jobs) == 1


def test_without_a_good_row_there_is_no_batch(service: Service, client: Client, media: Path) -> None:
    run(client, media, bad="empty.jpg")
    assert "POST /v1/batches" not in service.calls


def test_a_video_that_cannot_be_fetched_fails_its_row(service: Service, client: Client, media: Path) -> None:
    service.faults["GET /job-0.mp4"] = [httpx2.Response(404)]
    outcomes, _ = run(client, media, one="face.jpg", two="face.jpg")
    assert outcomes["one"].fault
    assert outcomes["two"].path


def test_a_job_that_somebody_deletes_meanwhile_fails_its_row(service: Service, client: Client, media: Path) -> None:
    answered = service.answer

    def delete_one(request: httpx2.Request) -> httpx2.Response:
        if service.calls and service.calls[-1] == "POST /v1/batches":
            del service.jobs["job-1"]
        return answered(request)

    with Client(client.url, KEY, httpx2.MockTransport(delete_one)) as unlucky:
        outcomes, _ = run(unlucky, media, one="face.jpg", two="face.jpg", three="face.jpg")
    assert [name for name, outcome in outcomes.items() if outcome.path] == ["one", "three"]
    assert outcomes["two"].fault
    assert outcomes["two"].fault.code == "not_found"


def test_a_server_that_is_gone_ends_it_all(service: Service, client: Client, media: Path) -> None:
    service.faults["POST /v1/uploads"] = [httpx2.ConnectError("refused") for _ in range(2 * TRIES)]
    with pytest.raises(UnreachableError):
        run(client, media, one="face.jpg")


def test_what_a_row_asks_for_reaches_the_server(service: Service, client: Client, media: Path) -> None:
    row = rows(media, one="face.jpg")[0].model_copy(update={"preset": "base", "seed": 5, "deadline_s": 90.0})
    Bulk(client, [row], media / "out", Log()).run()
    (job,) = service.jobs.values()
    assert (job["asked"]["preset"], job["asked"]["seed"], job["asked"]["deadline_s"]) == ("base", 5, 90)


def wish(media: Path, portrait: str) -> Wish:
    return Wish(portrait=media / portrait, speech=media / "hello.mp3", out=media / "hello.mp4", options=RequestedOptions(preset="tiny", seed=3))


def test_one_video_is_made_of_two_files(service: Service, client: Client, media: Path) -> None:
    outcome = Single(client, wish(media, "face.jpg"), Log()).run()
    assert outcome.path == media / "hello.mp4"
    assert outcome.path.read_bytes() == VIDEO
    (job,) = service.jobs.values()
    assert (job["asked"]["preset"], job["asked"]["seed"]) == ("tiny", 3)


def test_one_video_of_a_bad_portrait_fails_with_its_reason(client: Client, media: Path) -> None:
    outcome = Single(client, wish(media, "wall.jpg"), Log()).run()
    assert outcome.path is None
    assert outcome.fault
    assert str(outcome.fault) == "no_face: No face was found."


def test_one_video_that_is_refused_says_why(service: Service, client: Client, media: Path) -> None:
    service.faults["POST /v1/jobs"] = [problem(422, "invalid_request", "There is no such preset.")]
    with pytest.raises(ClientError, match="no such preset"):
        Single(client, wish(media, "face.jpg"), Log()).run()
