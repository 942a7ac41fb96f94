from __future__ import annotations

import pytest
import structlog
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


def test_the_presets_of_a_worker_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WorkerSettings.read().presets == ("base", "tiny")
    monkeypatch.setenv("DUBLINE_WORKER_PRESETS", "tiny, base,tiny")
    assert WorkerSettings.read().presets == ("tiny", "base")


def test_the_former_preset_is_loaded_first_and_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_WORKER_PRESET", "tiny")
    with structlog.testing.capture_logs() as logged:
        assert WorkerSettings.read().presets == ("tiny", "base")
    assert [(line["event"], line["new"]) for line in logged] == [("setting_renamed", "DUBLINE_WORKER_PRESETS")]


@pytest.mark.parametrize("value", ["", "tiny,", "TINY", "tiny'"])
def test_presets_that_are_no_names_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_WORKER_PRESETS", value)
    with pytest.raises(ValidationError):
        WorkerSettings.read()


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"There is no preset 'huge'\. Use some of base, tiny\."):
        WorkerSettings.model_validate({"presets": "tiny,huge"})
