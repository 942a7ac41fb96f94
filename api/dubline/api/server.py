"""The HTTP server: uvicorn, with deadlines for connections that send or read nothing, and a limit on their number.

uvicorn has no deadline for headers, for a body that nobody reads after an early response, and for a response that is
not received. Without a key, such connections would cost memory for ever.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from fastapi import FastAPI

    from dubline.orchestration.settings import ApiSettings

#: Time in which the headers of a request arrive, from the connection or the last response on. The same for each part
#: of a response to be received.
STALL_S: Final = 10.0
#: Open connections of one process. For another one, the one that has waited longest for a request is closed.
CONNECTIONS: Final = 512
#: Size of the headers of a request.
HEADER_BYTES: Final = 16_384

_log = structlog.get_logger(__name__)
_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Connection(H11Protocol):
    """One connection. It stalls while no request is processed, or while the client does not receive a response."""

    _deadline: asyncio.TimerHandle | None = None
    _unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, in place of another one if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._make_room()
        self._check()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle a part of a request."""
        super().data_received(data)
        self._check()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._check()

    def pause_writing(self) -> None:
        """Note that the client receives more slowly than is sent."""
        super().pause_writing()
        self._check()

    def resume_writing(self) -> None:
        """Note that the client has received what was sent."""
        super().resume_writing()
        self._check()

    @property
    def is_idle(self) -> bool:
        """Whether no request is processed: its headers have not arrived, or it has its response."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def idle_until_s(self) -> float:
        """When it is closed, unless a request arrives, by the clock of the event loop."""
        return self._deadline.when() if self._deadline else float("inf")

    def _check(self) -> None:
        """Start or stop the timer. A part of a request does not start it again."""
        if not (self.is_idle or self.flow.write_paused):
            self._stop_timer()
        elif self._deadline is None:
            self._unsent_bytes = self.transport.get_write_buffer_size()
            self._deadline = self.loop.call_later(STALL_S, self._stalled)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stalled(self) -> None:
        self._deadline = None
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes < self._unsent_bytes:
            self._check()
            return
        _log.info("connection_stalled", client=self.client and self.client[0], unsent_bytes=unsent_bytes)
        self.transport.abort()

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self and one.is_idle]
        if others:
            min(others, key=lambda one: one.idle_until_s).transport.abort()
            return
        _log.warning("connection_refused", connections=len(self.connections))
        self.transport.write(_REFUSAL)
        self.transport.close()


class Server(uvicorn.Server):
    """A server whose process goes on after a signal: uvicorn's own ends it, before the last spans are sent."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, and keep the handler."""
        for number in HANDLED_SIGNALS:
            signal.signal(number, self.handle_exit)
        yield


def run(app: FastAPI, settings: ApiSettings) -> bool:
    """Serve until a signal, and finish the requests in flight.

    Returns:
        False if it could not start; the reason is logged.
    """
    server = Server(uvicorn.Config(app, **options(settings)))
    server.run()
    return server.started


def options(settings: ApiSettings) -> dict[str, Any]:
    """Return the options of uvicorn."""
    # uvicorn's access log is off, because the app logs each request with its id and tenant.
    return {
        "host": settings.host,
        "port": settings.port,
        "http": Connection,
        "ws": "none",
        "h11_max_incomplete_event_size": HEADER_BYTES,
        # Any client can send the header, so only that of a known proxy names a client.
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "access_log": False,
        "log_config": None,
    }
