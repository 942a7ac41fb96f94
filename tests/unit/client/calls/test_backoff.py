from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import httpx2
import pytest

from dubline.client.calls import backoff
from dubline.client.errors import StoppedError

if TYPE_CHECKING:
    from tests.unit.client.service import Service

    from dubline.client.client import Client


class Recorder(Event):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


def test_poll_delays_grow_and_are_reset_by_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "POLL_MIN_S", 0.3)
    monkeypatch.setattr(backoff, "POLL_MAX_S", 2.0)
    recorder = Recorder()
    delays = backoff.PollBackoff(recorder)
    for _ in range(10):
        delays.wait()
    delays.wait(changed=True)
    assert recorder.waits[0] == recorder.waits[-1] == 0.3
    assert recorder.waits[-2] == 2.0
    assert recorder.waits[:-1] == sorted(recorder.waits[:-1])


def test_a_prediction_that_changes_is_no_change_of_a_job(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(backoff, "POLL_MIN_S", 0.3)
    monkeypatch.setattr(backoff, "POLL_MAX_S", 2.0)
    monkeypatch.setattr(backoff, "wait", lambda _, seconds: waits.append(seconds))
    polls = [{"id": "job-0", "state": "queued", "eta_s": 100.0 - number} for number in range(10)]
    polls.append({"id": "job-0", "state": "failed"})
    service.faults["GET /v1/jobs/job-0"] = [httpx2.Response(200, json=one) for one in polls]
    assert [job.eta_s for job in client.jobs.follow("job-0")][-2:] == [91.0, None]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.3, 2.0)


def test_closing_the_client_ends_a_wait() -> None:
    closing = Event()
    closing.set()
    with pytest.raises(StoppedError):
        backoff.wait(closing, 3600)


def test_retry_delays_grow_up_to_a_limit() -> None:
    for failures, max_s in ((1, 0.2), (2, 0.4), (3, 0.8), (50, 5.0), (100_000, 5.0)):
        for _ in range(20):
            assert max_s / 2 <= backoff.retry_delay_s(failures) <= max_s
    # Clients that failed together do not retry together.
    assert len({backoff.retry_delay_s(1) for _ in range(5)}) > 1


def test_retry_delays_follow_retry_after_up_to_a_limit() -> None:
    assert backoff.retry_delay_s(1, "7") == 7
    assert backoff.retry_delay_s(1, "100000") == 30
    for other in ("Wed, 21 Oct 2026 07:28:00 GMT", "-1", "\N{SUPERSCRIPT TWO}", ""):
        assert backoff.retry_delay_s(1, other) <= 0.2
