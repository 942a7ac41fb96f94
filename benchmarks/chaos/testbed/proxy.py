"""Proxy: a TCP proxy on loopback with faults, placed between the service and its bucket."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

LOOPBACK: Final = "127.0.0.1"
CHUNK_BYTES: Final = 16_384
READY_WITHIN_S: Final = 10.0
UNAVAILABLE: Final = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Mode(StrEnum):
    """What the proxy does with connections."""

    PASS = "pass"  # noqa: S105 - no password
    """Forward all data unchanged."""
    DELAY = "delay"
    """Delay every chunk."""
    THROTTLE = "throttle"
    """Limit the rate of each direction of each connection."""
    CUT = "cut"
    """Reset every connection at once, including open ones."""
    REFUSE = "refuse"
    """Close the listening socket."""
    ERROR = "error"
    """Answer every request with 503 without forwarding it."""
    SILENCE = "silence"
    """Accept connections and forward nothing."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A mode with its parameters."""

    mode: Mode = Mode.PASS
    delay_s: float = 0.0
    """Per chunk, in mode `delay`."""
    bytes_per_s: float = 0.0
    """In mode `throttle`."""


PASS_THROUGH: Final = Behaviour()


class Proxy:
    """Forwards TCP connections to a server on loopback, in its own thread.

    Args:
        server_port: port of the server.

    Attributes:
        port: port of this proxy; it stays the same in mode `refuse`.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._behaviour = PASS_THROUGH
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self.port: int = probe.getsockname()[1]
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_WITHIN_S)
        self._loop.close()

    @property
    def behaviour(self) -> Behaviour:
        """The current behaviour."""
        return self._behaviour

    def set_behaviour(self, behaviour: Behaviour) -> None:
        """Change the behaviour; may be called from any thread."""
        self._run(self._set_behaviour(behaviour))

    def _run(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(READY_WITHIN_S)

    async def _set_behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        if behaviour.mode in {Mode.CUT, Mode.REFUSE, Mode.ERROR}:
            # A connection that a client keeps open for its next request would bypass the fault.
            self._reset_connections()
        if behaviour.mode is Mode.REFUSE:
            await self._stop_listening()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._handle, LOOPBACK, self.port, reuse_address=True)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        self._reset_connections()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _reset_connections(self) -> None:
        for writer in tuple(self._open):
            # With a reset, as on a network failure; an orderly close would look like the end of a response.
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._behaviour.mode is Mode.CUT:
                writer.transport.abort()
            elif self._behaviour.mode is Mode.ERROR:
                await _answer_503(reader, writer)
            else:
                await self._forward(reader, writer)
        except OSError:
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._server_port)
        self._open.add(server_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, server_writer))
                group.create_task(self._copy(server_reader, writer))
        finally:
            self._open.discard(server_writer)
            server_writer.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                await self._delay(len(chunk))
                sink.write(chunk)
                await sink.drain()
        if not sink.is_closing():
            with suppress(OSError):
                sink.write_eof()

    async def _delay(self, size_bytes: int) -> None:
        while self._behaviour.mode is Mode.SILENCE:  # noqa: ASYNC110 - set from other threads
            await asyncio.sleep(0.05)
        if self._behaviour.mode is Mode.DELAY:
            await asyncio.sleep(self._behaviour.delay_s)
        elif self._behaviour.mode is Mode.THROTTLE:
            await asyncio.sleep(size_bytes / self._behaviour.bytes_per_s)


async def _answer_503(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The request head is read first, because clients reject a response that precedes the request.
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await reader.readuntil(b"\r\n\r\n")
    writer.write(UNAVAILABLE)
    with suppress(OSError):
        await writer.drain()
