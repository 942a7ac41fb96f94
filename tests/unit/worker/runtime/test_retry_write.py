from __future__ import annotations

from types import SimpleNamespace

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.worker.runtime import retry_write


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_write, "PAUSE_S", 0.01)


def test_an_outcome_survives_a_short_outage() -> None:
    results = [DatabaseUnavailableError, DatabaseUnavailableError, None]

    def write() -> None:
        if error := results.pop(0):
            raise error

    retry_write.retry_write(write, within_s=30)
    assert results == []


def test_a_long_outage_is_left_to_the_rescuer_after_a_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, tries = 100.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def write() -> None:
        nonlocal tries
        tries += 1
        assert tries < 100
        raise DatabaseUnavailableError

    monkeypatch.setattr(retry_write, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
    with pytest.raises(DatabaseUnavailableError):
        retry_write.retry_write(write, within_s=4.5 * retry_write.PAUSE_S)
    assert tries == 5


def test_a_refused_outcome_is_not_retried() -> None:
    calls = []

    def write() -> None:
        calls.append(1)
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        retry_write.retry_write(write, within_s=30)
    assert calls == [1]
