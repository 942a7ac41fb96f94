from __future__ import annotations

import pytest
import structlog
from kombu.utils.url import parse_url
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from dubline.orchestration.settings import (
    RENAMED,
    ApiSettings,
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


@pytest.mark.parametrize("name", ["", "my bucket", "bucket/folder"])
def test_a_name_that_is_no_bucket_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BucketSettings(name=name)
    (message,) = validation_messages(refused.value)
    assert message.startswith(
        "the environment variable DUBLINE_BUCKET_NAME is not usable: This is no name of a bucket."
    )


@pytest.mark.parametrize("name", ["dubline", "My_old.Bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/dubline"])
def test_a_name_that_the_client_of_s3_accepts_is_kept(name: str) -> None:
    assert BucketSettings(name=name).name == name


@pytest.mark.parametrize("limit", [{"put_url_s": 604_801}, {"unused_upload_s": 2**31}])
def test_a_time_that_s3_or_the_database_cannot_keep_is_refused(limit: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LimitSettings.model_validate(limit)


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


@pytest.mark.parametrize(
    "url",
    [
        *("hunter2", "redis://:hunter2@host:port/0", "redis://:hunter2@[::1/0"),
        *(f"redis://:hunter2{mark}more@host:6379/0" for mark in "/?#["),
    ],
)
@pytest.mark.parametrize("variable", ["DUBLINE_BROKER_URL", "DUBLINE_API_RATES_URL"])
def test_a_url_of_no_broker_is_refused_and_not_shown(variable: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ValidationError) as caught:
        (BrokerSettings if "BROKER" in variable else ApiSettings).read()
    (message,) = validation_messages(caught.value)
    assert message.startswith(f"the environment variable {variable} is not usable: ")
    assert message.endswith("Use redis://host:port/number.")
    assert "hunter2" not in message + str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://host/x", "postgresql+psycopg://u:a:/?#[]%40b@host:5432/x", "postgresql://u@server:a@host/x"),
        *("postgresql://u:a@[::1]:5432/x", "postgresql:///x?host=/run/a@b", "postgresql://host:5432/x?user=a@b"),
    ],
)
def test_a_url_of_a_database_is_read_as_sqlalchemy_reads_it(url: str) -> None:
    assert "@" not in (make_url(url).host or "")
    assert DatabaseSettings(url=SecretStr(url)).url.get_secret_value() == url


@pytest.mark.parametrize("url", ["redis://host:6379/0", "rediss://u:a:@%2Fb@host:6379/0", "redis://:a@[::1]:6379/0"])
def test_a_url_of_a_broker_is_read_as_its_clients_read_it(url: str) -> None:
    assert parse_url(url)["port"] == 6379
    assert BrokerSettings(url=SecretStr(url)).url.get_secret_value() == url


def test_a_count_of_requests_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_API_RATES_URL", "")
    assert not ApiSettings.read().rates_url


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


def test_trusted_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ApiSettings.read().trusted_proxies == ()
    monkeypatch.setenv("DUBLINE_API_TRUSTED_PROXIES", "10.0.0.0/8, fd00::1,")
    assert ApiSettings.read().trusted_proxies == ("10.0.0.0/8", "fd00::1")
    for wrong in ("*", "ingress", "10.0.0.1/8"):
        monkeypatch.setenv("DUBLINE_API_TRUSTED_PROXIES", wrong)
        with pytest.raises(ValidationError) as refused:
            ApiSettings.read()
        (message,) = validation_messages(refused.value)
        assert message.startswith("the environment variable DUBLINE_API_TRUSTED_PROXIES is not usable")
        assert repr(wrong) in message
