"""Ctrl-C while the command line waits for a bucket that does not answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from tests.forks import PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.forks import Forks

CONTENT = b"0123456789"
INTERRUPTED = 130
#: The command ends within 2 s on an idle machine; before, it waited for the timeouts of the bucket.
ENDS_WITHIN_S = 30


@pytest.fixture
def silent_bucket() -> Iterator[socket.socket]:
    """A socket that accepts connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def url(silent_bucket: socket.socket) -> Iterator[str]:
    """A server whose uploads go to the silent bucket."""
    put = {"url": f"http://127.0.0.1:{silent_bucket.getsockname()[1]}/x", "headers": {}}
    limits = {"batch_rows": 10, "portrait_bytes": 100, "speech_bytes": 100}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(limits)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer({"id": "u", "state": "pending", "put": put})

        def _answer(self, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("command", ["batch", "submit"])
def test_an_interrupt_during_an_upload_ends_the_command(
    url: str, silent_bucket: socket.socket, forks: Forks, tmp_path: Path, command: str
) -> None:
    for name in ("face.jpg", "hello.mp3"):
        (tmp_path / name).write_bytes(CONTENT)
    (tmp_path / "rows.jsonl").write_text('{"custom_id": "a", "portrait": "face.jpg", "speech": "hello.mp3"}')
    words = {
        "batch": ["batch", "rows.jsonl", "--out", "my videos"],
        "submit": ["submit", "--portrait", "face.jpg", "--speech", "hello.mp3"],
    }[command]
    environ = {**os.environ, "DUBLINE_URL": url, "DUBLINE_API_KEY": "key"}
    log = tmp_path / "log"
    with log.open("wb") as file, (tmp_path / "out").open("wb") as out:
        process = forks.start([*PYTHON, "dubline.client", *words], environ, file, out, str(tmp_path))
    try:
        silent_bucket.settimeout(60)
        connection, _ = silent_bucket.accept()
        with connection:
            received = b""
            while not received.endswith(CONTENT):
                received += connection.recv(1000)
            process.send_signal(signal.SIGINT)
            code = process.wait(ENDS_WITHIN_S)
    finally:
        process.kill()
    assert code == INTERRUPTED
    again = "dubline batch rows.jsonl --out 'my videos'" if command == "batch" else f"dubline {' '.join(words)}"
    assert log.read_text() == f"Interrupted.\nTo continue:\n{again}\n"
