from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import structlog

from dubline.orchestration import tracing

if TYPE_CHECKING:
    import pytest

#: Prints what of OpenTelemetry was imported. redis imports it by itself if it is installed, so its users are left out.
OFF = """
import sys
import dubline.api.traces, dubline.orchestration.database.store, dubline.worker.executors.render
from dubline.orchestration import tracing
with tracing.configured("api"), tracing.span("attempt", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", job_id="x"):
    tracing.record("claim", None, 1, 2)
    tracing.annotate("name", outcome="succeeded")
    assert tracing.traceparent() is None
    assert not tracing.is_on()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_nothing_of_opentelemetry_is_imported_while_tracing_is_off() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ran = subprocess.run([sys.executable, "-c", OFF], env=environ, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "[]", ran.stderr


def test_without_the_extra_the_process_works_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with structlog.testing.capture_logs() as logs, tracing.configured("api"):
        assert not tracing.is_on()
    assert [event["event"] for event in logs] == ["tracing_not_available"]
