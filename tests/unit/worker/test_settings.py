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


def test_a_worker_without_a_pool_is_in_the_default_one() -> None:
    assert WorkerSettings.read().pool == "default"


@pytest.mark.parametrize("name", ["", "A100", "-l4", "l4-", "l4 spot", "l4\n", "x" * 41])
def test_a_pool_is_part_of_a_dns_label(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_WORKER_POOL", name)
    with pytest.raises(ValidationError):
        WorkerSettings.read()


@pytest.mark.parametrize("name", ["l4", "a", "h200-spot", "x" * 40])
def test_a_pool_has_a_name_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_WORKER_POOL", name)
    assert WorkerSettings.read().pool == name
