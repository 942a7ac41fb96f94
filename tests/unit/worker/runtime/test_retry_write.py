from __future__ import annotations

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.worker.runtime import retry_write


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_write, "PAUSE_S", 0.01)


def test_an_outcome_survives_a_short_outage() -> None:
    answers = [DatabaseUnavailableError, DatabaseUnavailableError, None]

    def write() -> None:
        if answer := answers.pop(0):
            raise answer

    retry_write.retry_write(write, within_s=30)
    assert answers == []


def test_a_long_outage_is_left_to_the_rescuer() -> None:
    def write() -> None:
        raise DatabaseUnavailableError

    with pytest.raises(DatabaseUnavailableError):
        retry_write.retry_write(write, within_s=0.05)


def test_a_refused_outcome_is_not_pressed() -> None:
    asked = []

    def write() -> None:
        asked.append(1)
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        retry_write.retry_write(write, within_s=30)
    assert asked == [1]
