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
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored_logging")
def test_an_event_is_one_line_of_json_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings.model_validate({"format": "json", "level": "info"}))
    structlog.get_logger().info("job_leased", job_id="7", token="t0p", url="redis://:pass@host/0")
    logging.getLogger("vendor").warning("GET /?X-Amz-Signature=abc&X-Amz-Expires=5")
    event, foreign = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (event["event"], event["job_id"], event["level"]) == ("job_leased", "7", "info")
    assert event["token"] == logs.REDACTED
    assert event["url"] == f"redis://:{logs.REDACTED}@host/0"
    assert "abc" not in foreign["event"]
    assert foreign["event"].endswith("&X-Amz-Expires=5")


def test_secrets_are_redacted_at_every_depth() -> None:
    event = {
        "a": {"api_key": "k"},
        "b": [{"secret_key": "k"}, "Bearer k"],
        "c": ("postgresql://u:k@h/db",),
        "tokens": 5,
    }
    redacted = json.dumps(logs.redact(None, "info", event))
    assert "k@" not in redacted
    assert '"k"' not in redacted
    assert "Bearer k" not in redacted
    assert '"tokens": 5' in redacted
