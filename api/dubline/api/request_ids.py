"""Request ids: accepted from the caller or generated, bound to every log event, and returned in a header.

As the outermost middleware it also writes the access log, counts requests and translates unexpected exceptions to
problems, so that every response has a request id.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from dubline.api import metrics
from dubline.api.problems import unexpected_problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-ID"

_log = structlog.get_logger(__name__)
#: Ids of callers are written to logs and to a header, so only these characters are accepted.
_ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class RequestIds:
    """ASGI middleware that adds an id to each request, measures it and logs it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; other protocols than HTTP are passed through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        status: int | None = None

        async def add_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            started_s = time.monotonic()
            try:
                await self._app(scope, receive, add_id)
            except ClientDisconnect:
                pass  # Nobody waits for a response to a body that was not sent to its end.
            except Exception:  # noqa: BLE001  # the outermost handler
                _log.exception("request_crashed", method=scope["method"], path=scope["path"])
                if status is None:
                    await unexpected_problem()(scope, receive, add_id)
            duration_s = time.monotonic() - started_s
            metrics.count(scope, status, duration_s)
            _log.info(
                "request_answered",
                method=scope["method"],
                path=scope["path"],
                tenant=state.get("tenant"),
                status=status,
                duration_ms=round(1000 * duration_s, 1),
            )


def _request_id(scope: Scope) -> str:
    offered = Headers(scope=scope).get(HEADER, "")
    return offered if _ACCEPTABLE.fullmatch(offered) else uuid.uuid4().hex
