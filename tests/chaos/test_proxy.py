"""The proxy against a real server on loopback: each way in which it misbehaves, and that it recovers."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from benchmarks.chaos.testbed.proxy import CLEAR, Line, Mode, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b"x" * 20_000


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with Proxy(server.server_address[1]) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()
    thread.join(10)


def get(proxy: Proxy, timeout_s: float = 10.0) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_clear_line_carries_everything(proxy: Proxy) -> None:
    assert get(proxy) == (200, BODY)


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.REFUSE])
def test_a_broken_line_breaks_requests_until_it_is_clear(proxy: Proxy, mode: Mode) -> None:
    proxy.become(Line(mode))
    with pytest.raises((OSError, http.client.HTTPException)):
        get(proxy)
    proxy.become(CLEAR)
    assert get(proxy) == (200, BODY)


def test_errors_are_answered_without_asking_the_server(proxy: Proxy) -> None:
    proxy.become(Line(Mode.ERROR))
    assert get(proxy) == (503, b"")


def test_an_open_connection_ends_with_the_cut(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4) == b"HTTP"
        proxy.become(Line(Mode.CUT))
        # What was on its way may still come, then nothing more.
        with suppress(ConnectionResetError):
            while connection.recv(1 << 16):
                pass


def test_a_silent_line_says_nothing_and_then_everything(proxy: Proxy) -> None:
    proxy.become(Line(Mode.SILENCE))
    with pytest.raises(TimeoutError):
        get(proxy, timeout_s=0.3)
    proxy.become(CLEAR)
    assert get(proxy) == (200, BODY)


@pytest.mark.parametrize("slow", [Line(Mode.DELAY, delay_s=0.2), Line(Mode.THROTTLE, bytes_per_s=100_000)])
def test_a_slow_line_is_slow(proxy: Proxy, slow: Line) -> None:
    proxy.become(slow)
    began = time.monotonic()
    assert get(proxy) == (200, BODY)
    assert time.monotonic() - began >= 0.2
