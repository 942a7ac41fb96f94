from __future__ import annotations

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from dubline.orchestration.settings import (
    RENAMED,
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    LimitSettings,
    MaintenanceSettings,
    ScalingSettings,
    Settings,
    validation_messages,
)
from dubline.worker.settings import LeaseSettings, WorkerSettings


def test_a_group_is_read_from_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_LIMIT_BATCH_ROWS", "95")
    assert LimitSettings.read().batch_rows == 95
    assert MaintenanceSettings.read().rescue_s == 1.0


def test_an_orphan_age_below_a_minute_is_refused() -> None:
    with pytest.raises(ValidationError):
        MaintenanceSettings(orphan_age_s=59.0)


NUMBERS = [
    (group, name)
    for group in (LimitSettings, MaintenanceSettings, ScalingSettings, WorkerSettings, LeaseSettings)
    for name, field in group.model_fields.items()
    if field.annotation is float
]


@pytest.mark.parametrize("text", ["inf", "nan"])
@pytest.mark.parametrize(("group", "name"), NUMBERS)
def test_a_number_that_is_not_finite_is_refused(
    group: type[Settings], name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{group.model_config['env_prefix']}{name}".upper()
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValidationError) as refused:
        group.read()
    told = f"the environment variable {variable} is not usable: The number is not finite."
    assert any(message.startswith(told) for message in validation_messages(refused.value))


def test_a_missing_variable_is_named_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUBLINE_BROKER_URL", raising=False)
    with pytest.raises(ValidationError) as refused:
        BrokerSettings.read()
    (message,) = validation_messages(refused.value)
    assert message == "the environment variable DUBLINE_BROKER_URL is not set."


@pytest.mark.parametrize(
    "url", ["hunter2@host/dubline", "mysql://u:hunter2@host/dubline", "postgresql://u:hunter2@host:port/dubline"]
)
def test_a_url_of_another_database_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings(url=SecretStr(url))
    (message,) = validation_messages(caught.value)
    assert message.startswith("the environment variable DUBLINE_DATABASE_URL is not usable: ")
    assert "postgresql+psycopg://user:password@host:port/name" in message
    assert "hunter2" not in message + str(caught.value)


@pytest.mark.parametrize("url", ["hunter2", "redis://:hunter2@host:port/0", "redis://:hunter2@[::1/0"])
def test_a_url_of_no_broker_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BrokerSettings(url=SecretStr(url))
    (message,) = validation_messages(caught.value)
    assert message.startswith("the environment variable DUBLINE_BROKER_URL is not usable: ")
    assert message.endswith("Use redis://host:port/number.")
    assert "hunter2" not in message + str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        LimitSettings.read().batch_rows = 1  # type: ignore[misc]


def test_a_missing_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUBLINE_DATABASE_URL", raising=False)
    with pytest.raises(ValidationError):
        DatabaseSettings.read()


def test_secrets_are_not_shown() -> None:
    settings = BucketSettings.model_validate({"name": "b", "secret_key": "hidden"})
    assert "hidden" not in repr(settings)


def test_an_invalid_secret_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        BucketSettings.model_validate({"name": "b", "secret_key": ["hidden"]})
    assert "hidden" not in str(refused.value)
    assert "hidden" not in " ".join(validation_messages(refused.value))


def test_an_old_variable_is_read_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_CONTROL_RELAY_S", "0.7")
    with structlog.testing.capture_logs() as events:
        assert MaintenanceSettings.read().publish_s == 0.7
        assert LimitSettings.read().batch_rows == 10_000
    (event,) = events
    assert event["event"] == "setting_renamed"
    assert (event["old"], event["new"]) == ("DUBLINE_CONTROL_RELAY_S", "DUBLINE_MAINTENANCE_PUBLISH_S")


def test_a_new_variable_has_precedence_over_its_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_CONTROL_RELAY_S", "0.7")
    monkeypatch.setenv("DUBLINE_MAINTENANCE_PUBLISH_S", "0.9")
    with structlog.testing.capture_logs() as events:
        assert MaintenanceSettings.read().publish_s == 0.9
    assert events == []


def test_every_new_name_is_a_field() -> None:
    groups = (MaintenanceSettings, WorkerSettings)
    variables = {
        f"{group.model_config['env_prefix']}{field}".upper() for group in groups for field in group.model_fields
    }
    assert set(RENAMED.values()) <= variables
