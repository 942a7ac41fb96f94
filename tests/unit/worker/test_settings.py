from __future__ import annotations

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from dubline.orchestration.settings import validation_messages
from dubline.worker.settings import LeaseSettings, WorkerSettings, log_renamed


def test_a_lease_must_last_two_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_LEASE_DURATION_S", "5")
    with pytest.raises(ValidationError) as refused:
        LeaseSettings.read()
    assert "at least twice" in validation_messages(refused.value)[0]


@pytest.mark.parametrize("name", ["DUBLINE_WORKER_LIVENESS_FILE", "DUBLINE_WORKER_PULSE_FILE"])
def test_the_liveness_file_has_an_old_and_a_new_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/tmp/file")  # noqa: S108 - a name, never opened
    assert WorkerSettings.read().liveness_file == "/tmp/file"  # noqa: S108 - as above


def test_an_old_variable_name_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs:
        log_renamed()
        monkeypatch.setenv("DUBLINE_WORKER_PULSE_FILE", "file")
        log_renamed()
    assert [(entry["event"], entry["new"]) for entry in logs] == [("setting_renamed", "DUBLINE_WORKER_LIVENESS_FILE")]
