"""Tracing by OpenTelemetry: spans of requests, notifications and attempts, joined by a column of the row.

It is off, and nothing of OpenTelemetry is imported, unless the standard variables name a receiver. Spans have ids and
names of our own; never keys, names of tenants or names of files.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Standard variables, either of which names the receiver and so switches tracing on.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
#: Version 00 of W3C Trace Context, without ids of zeros.
TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

_log = structlog.get_logger(__name__)
#: The tracer of this process; empty: tracing is off.
_tracers: Final[list[Any]] = []


def is_on() -> bool:
    """Return whether this process records spans."""
    return bool(_tracers)


@contextmanager
def configured(service: str) -> Iterator[None]:
    """Trace this process during the block, if the environment names a receiver.

    The receiver is not needed: spans are sent by a thread of their own, and dropped if that fails.

    Args:
        service: name of the process, as `api`.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        yield
        return
    try:
        provider = _provider(service)
    except ImportError as error:
        _log.error("tracing_not_available", error=str(error), needed="pip install 'dubline[tracing]'")
        yield
        return
    try:
        with installed(provider):
            yield
    finally:
        provider.shutdown()


def _provider(service: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - only if on
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"dubline-{service}"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def installed(provider: Any) -> Iterator[None]:
    """Record spans with a provider of OpenTelemetry during the block."""
    _tracers.append(provider.get_tracer("dubline"))
    try:
        yield
    finally:
        _tracers.pop()


@contextmanager
def span(name: str, parent: str | None, started_ns: int | None = None, **attributes: str | int) -> Iterator[None]:
    """Record the block as a span; spans and rows that it creates belong to it.

    Args:
        name: of the span.
        parent: `traceparent` of its parent; a value that is not valid is dropped, as None.
        started_ns: time at which it began, since 1970; None: now.
        attributes: facts, under the prefix `dubline.`.
    """
    if not _tracers:
        yield
        return
    with _tracers[-1].start_as_current_span(
        name,
        context=_context(parent),
        start_time=started_ns,
        attributes=_prefixed(attributes),
        # A message may have names of files.
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield


def record(name: str, parent: str | None, started_ns: int, ended_ns: int) -> None:
    """Record a span that has ended.

    Args:
        name: of the span.
        parent: `traceparent` of its parent; None: the current span.
        started_ns: its begin, in nanoseconds since 1970.
        ended_ns: its end.
    """
    if _tracers and (parent is None or TRACEPARENT.fullmatch(parent)):
        context = None if parent is None else _context(parent)
        _tracers[-1].start_span(name, context=context, start_time=started_ns).end(ended_ns)


def annotate(name: str | None = None, **attributes: str | int) -> None:
    """Rename the current span or add facts to it, under the prefix `dubline.`."""
    if _tracers:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - only if on

        current = get_current_span()
        current.set_attributes(_prefixed(attributes))
        if name is not None:
            current.update_name(name)


def traceparent() -> str | None:
    """Return the current span in the format of W3C Trace Context, for a row; None without one."""
    if not _tracers:
        return None
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - only if on

    context = get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else None


def _context(parent: str | None) -> Any:
    from opentelemetry.context import Context  # noqa: PLC0415 - only if on
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context  # noqa: PLC0415

    match = TRACEPARENT.fullmatch(parent or "")
    if match is None:
        return Context()
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    remote = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _prefixed(attributes: dict[str, str | int]) -> dict[str, str | int]:
    return {f"dubline.{name}": value for name, value in attributes.items()}
