"""The name of one request: taken from the caller or made here, bound to every log line, sent back.

It is the outermost layer of the app, so it also writes the access log and turns an exception that nobody
expected into a problem: whatever happens inside, the caller gets an answer with an id to quote.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders

from dubline.api.problems import unexpected_problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-ID"

_log = structlog.get_logger(__name__)
#: What a caller may choose ends up in logs and in a header, so only harmless characters pass.
_ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class RequestIds:
    """ASGI middleware that names, times and logs each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; everything but HTTP passes through untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        status: int | None = None

        async def name(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            started_s = time.monotonic()
            try:
                await self._app(scope, receive, name)
            except Exception:  # noqa: BLE001  # the last one who can answer
                _log.exception("request_crashed", method=scope["method"], path=scope["path"])
                if status is None:
                    await unexpected_problem()(scope, receive, name)
            _log.info(
                "request_answered",
                method=scope["method"],
                path=scope["path"],
                tenant=state.get("tenant"),
                status=status,
                duration_ms=round(1000 * (time.monotonic() - started_s), 1),
            )


def _request_id(scope: Scope) -> str:
    offered = Headers(scope=scope).get(HEADER, "")
    return offered if _ACCEPTABLE.fullmatch(offered) else uuid.uuid4().hex
