from __future__ import annotations

import pytest
from pydantic import ValidationError

from dubline.orchestration.settings import (
    BrokerSettings,
    BucketSettings,
    ControlSettings,
    DatabaseSettings,
    LimitSettings,
    complaints,
)


def test_a_group_is_read_from_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_LIMIT_BATCH_ROWS", "95")
    assert LimitSettings.read().batch_rows == 95
    assert ControlSettings.read().rescue_s == 1.0


def test_an_object_is_given_time_to_get_its_row() -> None:
    with pytest.raises(ValidationError):
        ControlSettings(orphan_age_s=59.0)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUBLINE_BROKER_URL", raising=False)
    with pytest.raises(ValidationError) as refused:
        BrokerSettings.read()
    assert complaints(refused.value) == ["the environment variable DUBLINE_BROKER_URL is not usable: Field required."]


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


def test_a_secret_that_is_not_usable_is_not_shown_either() -> None:
    with pytest.raises(ValidationError) as refused:
        BucketSettings.model_validate({"name": "b", "secret_key": ["hidden"]})
    assert "hidden" not in str(refused.value)
    assert "hidden" not in " ".join(complaints(refused.value))
