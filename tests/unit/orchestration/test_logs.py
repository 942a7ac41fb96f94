from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from dubline.orchestration import logs
from dubline.orchestration.settings import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("as_before")
def test_an_event_is_one_line_of_json_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings.model_validate({"format": "json", "level": "info"}))
    structlog.get_logger().info("job_leased", job_id="7", token="t0p", url="redis://:pass@host/0")
    logging.getLogger("vendor").warning("GET /?X-Amz-Signature=abc&X-Amz-Expires=5")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["job_id"], ours["level"]) == ("job_leased", "7", "info")
    assert ours["token"] == logs.REDACTED
    assert ours["url"] == f"redis://:{logs.REDACTED}@host/0"
    assert "abc" not in theirs["event"]
    assert theirs["event"].endswith("&X-Amz-Expires=5")


def test_secrets_are_found_at_every_depth() -> None:
    event = {
        "a": {"api_key": "k"},
        "b": [{"secret_key": "k"}, "Bearer k"],
        "c": ("postgresql://u:k@h/db",),
        "tokens": 5,
    }
    cleaned = json.dumps(logs.redact(None, "info", event))
    assert "k@" not in cleaned
    assert '"k"' not in cleaned
    assert "Bearer k" not in cleaned
    assert '"tokens": 5' in cleaned
