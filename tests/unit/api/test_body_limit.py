from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.exceptions import HTTPException

from dubline.api.body_limit import BodyLimit

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


class Reader:
    """An app that reads the whole body and records its size."""

    def __init__(self) -> None:
        self.size_bytes = 0

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        while True:
            message = await receive()
            self.size_bytes += len(message["body"])
            if not message["more_body"]:
                return


def send_body(chunks: list[bytes], content_length: bytes | None = None) -> int:
    reader = Reader()
    left = list(chunks)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is sent here")

    headers = [] if content_length is None else [(b"content-length", content_length)]
    scope: dict[str, Any] = {"type": "http", "headers": headers}
    with pytest.raises(StopIteration):  # the coroutine never waits, so it ends in one step
        BodyLimit(reader, limit_bytes=10)(scope, receive, send).send(None)
    return reader.size_bytes


def test_a_body_of_exactly_the_limit_is_accepted() -> None:
    assert send_body([b"12345", b"67890"], b"10") == 10


def test_a_body_with_a_larger_declared_length_is_not_read() -> None:
    with pytest.raises(HTTPException) as caught:
        send_body([b"1"], b"11")
    assert caught.value.status_code == 413


def test_a_chunked_body_is_rejected_when_it_exceeds_the_limit() -> None:
    with pytest.raises(HTTPException, match="at most 10 bytes"):
        send_body([b"12345", b"67890", b"1", b"never read"])


def test_an_absurd_declared_length_is_not_parsed() -> None:
    with pytest.raises(HTTPException):
        send_body([b"1"], b"9" * 5_000)
