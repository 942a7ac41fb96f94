from __future__ import annotations

from threading import Event

import pytest

from dubline.client.calls import backoff
from dubline.client.errors import StoppedError


class Recorder(Event):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


def test_looks_grow_apart_and_come_closer_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_LOOK_S", 0.3)
    monkeypatch.setattr(backoff, "LAST_LOOK_S", 2.0)
    recorder = Recorder()
    looks = backoff.Looks(recorder)
    for _ in range(10):
        looks.wait()
    looks.wait(changed=True)
    assert recorder.waits[0] == recorder.waits[-1] == 0.3
    assert recorder.waits[-2] == 2.0
    assert recorder.waits[:-1] == sorted(recorder.waits[:-1])


def test_a_stop_ends_the_pause() -> None:
    closing = Event()
    closing.set()
    with pytest.raises(StoppedError):
        backoff.rest(closing, 3600)


def test_retries_wait_longer_each_time_up_to_a_limit() -> None:
    for failures, longest_s in ((1, 0.2), (2, 0.4), (3, 0.8), (50, 5.0)):
        for _ in range(20):
            assert longest_s / 2 <= backoff.before_retry_s(failures) <= longest_s


def test_retries_wait_as_long_as_the_server_asks_within_reason() -> None:
    assert backoff.before_retry_s(1, "7") == 7
    assert backoff.before_retry_s(1, "100000") == 30
    assert backoff.before_retry_s(1, "Wed, 21 Oct 2026 07:28:00 GMT") <= 0.2
