from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import SecretStr

from dubline.orchestration.settings import Settings
from dubline.worker.runtime import credentials

if TYPE_CHECKING:
    import pytest


def test_every_secret_setting_is_a_credential() -> None:
    names = [
        f"{group.model_config['env_prefix']}{name}".upper()
        for group in Settings.__subclasses__()
        for name, field in group.model_fields.items()
        if field.annotation is SecretStr
    ]
    assert "DUBLINE_DATABASE_URL" in names
    assert [name for name in names if not credentials.NAMES.fullmatch(name)] == []


def test_credentials_leave_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBLINE_DATABASE_URL", "hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hush")
    monkeypatch.setenv("DUBLINE_WORKER_PRESET", "tiny")
    assert credentials.remove() == {"DUBLINE_DATABASE_URL": "hush", "AWS_SESSION_TOKEN": "hush"}
    assert "hush" not in os.environ.values()
    assert os.environ["DUBLINE_WORKER_PRESET"] == "tiny"
