"""The limit on the size of a request body, enforced while it is received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that responds with 413 once the declared or received length of a body exceeds the limit.

    Media files are not affected: they are sent to the bucket by presigned PUT. The largest valid body is a batch.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; HTTPException(413) is raised within the app, which translates it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        received_bytes = 0

        async def count() -> Message:
            nonlocal received_bytes
            if _declares_more(declared, self._limit_bytes):
                raise self._too_large()
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._limit_bytes:
                raise self._too_large()
            return message

        await self._app(scope, count, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413,
            f"The body may have at most {self._limit_bytes} bytes. Split the batch into several requests.",
        )


def _declares_more(declared: str, limit_bytes: int) -> bool:
    # A number with more than 18 digits is over every limit; it is not parsed, because parsing takes quadratic time.
    return declared.isdecimal() and (len(declared) > 18 or int(declared) > limit_bytes)  # noqa: PLR2004
