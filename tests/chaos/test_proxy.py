"""The proxy in front of a real server on loopback: each of its faults, and the recovery from it."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from benchmarks.chaos.testbed.proxy import PASS_THROUGH, Behaviour, Mode, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b"x" * 20_000


class Handler(BaseHTTPRequestHandler):
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)  # polls for the shutdown every 20 ms
    thread.start()
    with Proxy(server.server_address[1]) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()
    thread.join(60)


def get(proxy: Proxy, timeout_s: float = 10.0) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_default_behaviour_forwards_everything(proxy: Proxy) -> None:
    assert get(proxy) == (200, BODY)


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.REFUSE])
def test_requests_fail_until_the_behaviour_is_reset(proxy: Proxy, mode: Mode) -> None:
    proxy.set_behaviour(Behaviour(mode))
    with pytest.raises((OSError, http.client.HTTPException)):
        get(proxy)
    proxy.set_behaviour(PASS_THROUGH)
    assert get(proxy) == (200, BODY)


def test_mode_error_responds_503_without_the_server(proxy: Proxy) -> None:
    proxy.set_behaviour(Behaviour(Mode.ERROR))
    assert get(proxy) == (503, b"")


def test_mode_cut_resets_open_connections(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4) == b"HTTP"
        proxy.set_behaviour(Behaviour(Mode.CUT))
        # Data that was already sent may still arrive, then the connection ends.
        with suppress(ConnectionResetError):
            while connection.recv(1 << 16):
                pass


def test_mode_silence_holds_data_back_until_it_ends(proxy: Proxy) -> None:
    proxy.set_behaviour(Behaviour(Mode.SILENCE))
    with pytest.raises(TimeoutError):
        get(proxy, timeout_s=0.3)
    proxy.set_behaviour(PASS_THROUGH)
    assert get(proxy) == (200, BODY)


@pytest.mark.parametrize("slow", [Behaviour(Mode.DELAY, delay_s=0.2), Behaviour(Mode.THROTTLE, bytes_per_s=100_000)])
def test_delay_and_throttle_slow_a_request_down(proxy: Proxy, slow: Behaviour) -> None:
    proxy.set_behaviour(slow)
    started = time.monotonic()
    assert get(proxy) == (200, BODY)
    assert time.monotonic() - started >= 0.2
