"""The ceiling on a request's body, held while it arrives and not after it has filled the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that answers 413 as soon as a body is, or says it will be, over the limit.

    Media never passes here: files go straight to the bucket by presigned PUT, so that the largest honest
    body is a batch of JSON rows.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; raises HTTPException(413) inside the app's own error handling."""
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
            f"The body may have {self._limit_bytes} bytes at most. Split the batch into several requests.",
        )


def _declares_more(declared: str, limit_bytes: int) -> bool:
    # More digits than any file has bytes are not worth Python's time to parse.
    return declared.isdecimal() and (len(declared) > 18 or int(declared) > limit_bytes)  # noqa: PLR2004
