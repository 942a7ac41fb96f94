from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.unit.client.recording_display import RecordingDisplay
from tests.unit.client.service import VIDEO, Service, problem

from dubline.client.calls import outage, transport
from dubline.client.calls.backoff import MAX_TRIES
from dubline.client.calls.outage import Outage
from dubline.client.errors import RefusedError
from dubline.client.runs.batch import BatchRun
from dubline.client.runs.manifest import Row

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from dubline.client.client import Client

LONG = 20 * MAX_TRIES


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays before each retry, which take no time."""
    made: list[float] = []

    def wait(_: Event, seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(transport, "wait", wait)
    return made


@pytest.mark.parametrize("path", ["/v1/batches/batch-0", "/v1/batches/batch-0/jobs", "/job-0.mp4"])
def test_a_batch_waits_for_a_network_that_is_gone_for_long(
    service: Service, client: Client, media: Path, delays: list[float], path: str
) -> None:
    faults = [httpx2.ConnectError("no network"), httpx2.ReadTimeout(""), problem(503, "unavailable", "Later.")]
    service.faults[f"GET {path}"] = [faults[number % 3] for number in range(LONG)]
    display = RecordingDisplay()
    row = Row(custom_id="one", portrait=media / "face.jpg", speech=media / "hello.mp3")
    (outcome,) = BatchRun(client, [row], media / "out", display).run()
    assert outcome.path
    assert outcome.path.read_bytes() == VIDEO
    assert delays == sorted(delays)
    assert max(delays) == outage._LONGEST_S
    assert "batch batch-0 continues: No response from " in display.notices[0]
    assert display.notices[-1] == "batch batch-0 continues: The server responds again."


FULL = {"status": 409, "code": "quota_exceeded", "detail": "It may have 2."}


def test_a_batch_waits_for_room_in_a_quota_and_says_so(
    service: Service, client: Client, media: Path, delays: list[float]
) -> None:
    full = [httpx2.Response(409, json=FULL, headers={"Retry-After": "60"}) for _ in range(12)]
    service.faults["POST /v1/batches"] = list(full)
    display = RecordingDisplay()
    row = Row(custom_id="one", portrait=media / "face.jpg", speech=media / "hello.mp3")
    (outcome,) = BatchRun(client, [row], media / "out", display).run()
    assert outcome.path
    assert (len(delays), delays[0], delays[-1]) == (12, 2, outage._LONGEST_S)
    assert delays == sorted(delays)
    assert display.notices == ["It may have 2. Trying again in 2 s."]


def test_a_batch_above_the_quota_itself_is_refused(service: Service, client: Client, media: Path) -> None:
    service.faults["POST /v1/batches"] = [httpx2.Response(409, json=FULL)]
    row = Row(custom_id="one", portrait=media / "face.jpg", speech=media / "hello.mp3")
    with pytest.raises(RefusedError, match="It may have 2"):
        BatchRun(client, [row], media / "out", RecordingDisplay()).run()


def test_threads_that_notice_one_outage_tell_it_once() -> None:
    told: list[str] = []
    lost = Outage(told.append)
    for _ in range(8):
        assert lost.pause_s(1, "No response") == 2
    assert told == ["No response. Trying again in 2 s."]
    for _ in range(8):
        lost.ended()
    assert told[1:] == ["The server responds again."]


def test_a_second_outage_is_told_at_once() -> None:
    told: list[str] = []
    lost = Outage(told.append)
    for _ in range(2):
        lost.pause_s(1, "No response")
        lost.ended()
    assert told == ["No response. Trying again in 2 s.", "The server responds again."] * 2


def test_the_pause_of_an_endless_outage_is_bounded() -> None:
    assert Outage(lambda _: None).pause_s(100_000, "No response") == outage._LONGEST_S


@pytest.fixture
def told(service: Service, client: Client) -> list[str]:
    """What a client that endures outages says."""
    sentences: list[str] = []
    client.endure_outages(sentences.append)
    service.jobs["job"] = {"id": "job", "state": "failed"}
    return sentences


@pytest.mark.usefixtures("delays")
def test_a_short_interruption_is_not_told(service: Service, client: Client, told: list[str]) -> None:
    client.jobs.get("job")
    service.faults["GET /v1/jobs/job"] = [httpx2.ConnectError("") for _ in range(transport._TRIES_BEFORE_TELLING - 1)]
    client.jobs.get("job")
    assert told == []


@pytest.mark.usefixtures("delays", "told")
def test_a_server_that_fails_is_not_waited_for(service: Service, client: Client) -> None:
    client.jobs.get("job")
    service.faults["GET /v1/jobs/job"] = [problem(500, "internal_error", "Failed.") for _ in range(LONG)]
    with pytest.raises(RefusedError, match="Failed"):
        client.jobs.get("job")
    assert len(service.calls) == 1 + MAX_TRIES


@pytest.mark.usefixtures("delays", "told")
def test_a_server_that_has_never_answered_is_not_waited_for(service: Service, client: Client) -> None:
    service.faults["GET /v1/jobs/job"] = [problem(503, "unavailable", "Later.") for _ in range(LONG)]
    for tries in (MAX_TRIES, 2 * MAX_TRIES):
        with pytest.raises(RefusedError, match="Later"):
            client.jobs.get("job")
        assert len(service.calls) == tries


@pytest.mark.usefixtures("told")
def test_a_server_that_asks_for_a_longer_pause_gets_it(
    service: Service, client: Client, delays: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "retry_delay_s", lambda *_: 30.0)
    client.jobs.get("job")
    service.faults["GET /v1/jobs/job"] = [problem(503, "unavailable", "Later.") for _ in range(MAX_TRIES)]
    client.jobs.get("job")
    assert delays == [30.0] * MAX_TRIES
