from __future__ import annotations

import pytest
from pydantic import ValidationError

from dubline.orchestration.settings import validation_messages
from dubline.worker.settings import LeaseSettings, WorkerSettings


def test_a_lease_must_last_two_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_LEASE_DURATION_S", "5")
    with pytest.raises(ValidationError) as refused:
        LeaseSettings.read()
    assert "at least twice" in validation_messages(refused.value)[0]


@pytest.mark.parametrize("name", ["DUBLINE_WORKER_LIVENESS_FILE", "DUBLINE_WORKER_PULSE_FILE"])
def test_the_liveness_file_has_an_old_and_a_new_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/tmp/file")  # noqa: S108 - a name, never opened
    assert WorkerSettings.read().liveness_file == "/tmp/file"  # noqa: S108 - as above
