"""Traces: each request is a span, which continues the trace of its sender. Installed only if tracing is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from dubline.api.metrics import METHODS, UNROUTED
from dubline.orchestration import tracing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Traces:
    """ASGI middleware that records each request as a span with its method, route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; other protocols than HTTP are passed through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "other"

        async def add_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                tracing.annotate(status=message["status"])
            await send(message)

        # Anyone may send a header; one that is not valid begins a new trace.
        with tracing.span(method, Headers(scope=scope).get("traceparent")):
            try:
                await self._app(scope, receive, add_status)
            finally:
                route = getattr(scope.get("route"), "path", None) or UNROUTED
                tracing.annotate(f"{method} {route}")
