"""A TCP proxy on loopback that can misbehave: the line between the service and its bucket."""

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
    """How the line behaves.

    pass: as if it were not there. delay: each piece waits. throttle: so many bytes a second in each direction of
    each connection. cut: every connection ends at once, open ones too. refuse: nobody listens. error: every
    request is answered with 503 and never reaches the server. silence: connections open and nothing ever comes back.
    """

    PASS = "pass"  # noqa: S105 - no password
    DELAY = "delay"
    THROTTLE = "throttle"
    CUT = "cut"
    REFUSE = "refuse"
    ERROR = "error"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Line:
    """One behaviour with its measure."""

    mode: Mode = Mode.PASS
    delay_s: float = 0.0
    bytes_per_s: float = 0.0


CLEAR: Final = Line()


class Proxy:
    """Carries TCP from a port of its own to a server on loopback, in a thread of its own.

    Args:
        upstream_port: where the server listens.

    Attributes:
        port: where this proxy listens; it keeps the number while it refuses.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._line = CLEAR
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self.port: int = probe.getsockname()[1]
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_WITHIN_S)
        self._loop.close()

    @property
    def line(self) -> Line:
        """How it behaves now."""
        return self._line

    def become(self, line: Line) -> None:
        """Behave so from now on; may be called from any thread."""
        self._do(self._become(line))

    def _do(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(READY_WITHIN_S)

    async def _become(self, line: Line) -> None:
        self._line = line
        if line.mode in {Mode.CUT, Mode.REFUSE, Mode.ERROR}:
            # A connection that was kept for the next request would carry it past the fault.
            self._cut()
        if line.mode is Mode.REFUSE:
            await self._stop_listening()
        elif self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._carry, LOOPBACK, self.port, reuse_address=True)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        self._cut()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _cut(self) -> None:
        for writer in tuple(self._open):
            # With a reset, as a broken line ends; a polite end would look like the end of an answer.
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._line.mode is Mode.CUT:
                writer.transport.abort()
            elif self._line.mode is Mode.ERROR:
                await _refuse(reader, writer)
            else:
                await self._join(reader, writer)
        except OSError:
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, self._upstream_port)
        self._open.add(back)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back))
                group.create_task(self._pump(there, writer))
        finally:
            self._open.discard(back)
            back.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(CHUNK_BYTES):
                await self._hold(len(piece))
                sink.write(piece)
                await sink.drain()
        if not sink.is_closing():
            with suppress(OSError):
                sink.write_eof()

    async def _hold(self, size_bytes: int) -> None:
        while self._line.mode is Mode.SILENCE:  # noqa: ASYNC110 - changed from other threads
            await asyncio.sleep(0.05)
        if self._line.mode is Mode.DELAY:
            await asyncio.sleep(self._line.delay_s)
        elif self._line.mode is Mode.THROTTLE:
            await asyncio.sleep(size_bytes / self._line.bytes_per_s)


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The head is read first: an answer to a request that was not sent yet is none.
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await reader.readuntil(b"\r\n\r\n")
    writer.write(UNAVAILABLE)
    with suppress(OSError):
        await writer.drain()
