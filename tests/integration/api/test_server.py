"""Connections that hold memory without a key: slow headers, unread bodies and responses, and very many of them."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import pytest
import uvicorn

from dubline.api import server
from dubline.api.server import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Message, Receive, Scope, Send

WITHIN_S: Final = 30.0
GET: Final = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE: Final = b"x" * 24_000_000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to /wait once the client is gone, to /large with many bytes, and to others at once."""
    assert scope["type"] == "http"
    while scope["path"] == "/wait" and (await receive())["type"] != "http.disconnect":
        pass
    body = LARGE if scope["path"] == "/large" else b"done"
    length = (b"content-length", str(len(body)).encode())
    start: Message = {"type": "http.response.start", "status": 401, "headers": [length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def running() -> Iterator[uvicorn.Server]:
    config = uvicorn.Config(
        app, port=0, http=Connection, ws="none", lifespan="off", log_config=None, timeout_keep_alive=60
    )
    running = uvicorn.Server(config)
    thread = Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    wait_until(lambda: running.started)
    yield running
    running.should_exit = running.force_exit = True
    thread.join()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALL_S", 0.3)


def wait_until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@contextmanager
def connected(running: uvicorn.Server, first: bytes = b"") -> Iterator[socket.socket]:
    address = running.servers[0].sockets[0].getsockname()
    with socket.create_connection(("127.0.0.1", address[1]), timeout=WITHIN_S) as client:
        client.sendall(first)
        yield client


def is_closed_while_sending(client: socket.socket, part: bytes) -> bool:
    """Send a byte at a time until the server closes the connection."""
    ends_s = time.monotonic() + WITHIN_S
    while time.monotonic() < ends_s:
        try:
            client.sendall(part)
            if select.select([client], [], [], 0.05)[0] and not client.recv(65_536):
                return True
        except ConnectionError:
            return True
    return False


def response(client: socket.socket) -> bytes:
    client.settimeout(WITHIN_S)
    try:
        return client.recv(65_536)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="before the request"),
        pytest.param(b"GET /one HTTP/1.1\r\nHost: a\r\nX-Slow: ", id="within the headers"),
        pytest.param(
            b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n", id="body of a refused request"
        ),
        pytest.param(GET % b"one" + b"GET /two HTTP/1.1\r\nHost: a\r\nX-Slow: ", id="within the headers of the second"),
    ],
)
def test_a_slow_sender_is_disconnected(running: uvicorn.Server, first: bytes) -> None:
    with connected(running, first) as client:
        assert is_closed_while_sending(client, b"G")


def test_a_client_that_does_not_receive_is_disconnected(running: uvicorn.Server) -> None:
    with connected(running, GET % b"large" * 3):
        wait_until(lambda: running.server_state.connections)
        wait_until(lambda: not running.server_state.connections)


def test_a_client_that_receives_slowly_gets_everything(
    running: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STALL_S", 600)
    with connected(running, GET % b"large") as client:
        wait_until(lambda: running.server_state.connections)
        (connection,) = running.server_state.connections
        assert isinstance(connection, Connection)
        unsent = connection.transport.get_write_buffer_size

        async def end_its_time() -> bool:
            """Let its time be over, if it has received something since the timer was started."""
            received = 0 < unsent() < connection._unsent_bytes
            if received:
                connection._stalled()
            return received

        wait_until(lambda: connection._deadline)
        received = ended = 0
        while received < len(LARGE):
            part = client.recv(1_000_000)
            assert part
            received += len(part)
            ended += asyncio.run_coroutine_threadsafe(end_its_time(), connection.loop).result()
        assert ended > 1
        assert connection in running.server_state.connections


def test_a_request_that_is_processed_has_no_deadline(running: uvicorn.Server) -> None:
    with connected(running, GET % b"wait") as client:
        assert not select.select([client], [], [], 1.0)[0]


def test_the_connection_that_waited_longest_makes_room(
    running: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STALL_S", 60)
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    with ExitStack() as stack:
        clients: list[Any] = []
        for number in range(4):
            clients.append(stack.enter_context(connected(running)))
            wait_until(lambda number=number: len(running.server_state.connections) >= min(number + 1, 3))
        assert response(clients[0]) == b""
        for client in clients[1:]:
            client.sendall(GET % b"one")
            assert response(client).startswith(b"HTTP/1.1 401")


def test_a_connection_is_refused_while_all_others_are_used(
    running: uvicorn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    with connected(running, GET % b"wait"), connected(running, GET % b"wait"):
        wait_until(lambda: len(running.server_state.tasks) == 2)
        with connected(running, GET % b"one") as client:
            assert response(client).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n")
