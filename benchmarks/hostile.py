"""Hostile requests: what the largest and oddest bodies and silent connections cost the API process.

    dubline up -- python -m benchmarks.hostile

It prints, for each request, its status, its time, the longest answer of `/health/live` meanwhile, and by how much the
peak of the API's resident memory grew. The peak is reset before each request, so the API must run on this machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from benchmarks.machine import memory_mb

from dubline.options.output import exit_if_unread

if TYPE_CHECKING:
    from collections.abc import Callable

#: Just below the limit on a request body.
BODY_BYTES: Final = 9_900_000
SILENT: Final = 40
#: Time that silent connections are given to send what they send.
SENT_WITHIN_S: Final = 30.0
ID: Final = "00000000-0000-4000-8000-000000000000"
_ROW: Final = json.dumps({"portrait_upload_id": ID, "speech_upload_id": ID, "preset": "base", "seed": 7}).encode()


def _filled(first: bytes, repeated: bytes, last: bytes = b"") -> bytes:
    return first + repeated * ((BODY_BYTES - len(first) - len(last)) // len(repeated)) + last


def bodies() -> dict[str, bytes]:
    """Return bodies of almost 10 MB by name, each of which is refused."""
    return {
        "empty rows": _filled(b'{"jobs": [{}', b",{}", b"]}"),
        "rows of lists": _filled(b'{"jobs": [[]', b",[]", b"]}"),
        "valid rows": _filled(b'{"jobs": [' + _ROW, b"," + _ROW, b"]}"),
        "rows with unknown keys": _filled(b'{"jobs": [{"a":0', b',"b":0}, {"a":0', b"}]}"),
        "one row with unknown keys": _filled(b'{"jobs": [{"a":0', b',"b":0', b"}]}"),
        "unknown keys": b'{"a":0' + b"".join(b',"%07d":{}' % number for number in range(BODY_BYTES // 13)) + b"}",
        "nested lists": _filled(b'{"jobs": ', b"["),
        "nested objects": _filled(b"", b'{"a":'),
        "list of lists": _filled(b"[[]", b",[]", b"]"),
        "one number": _filled(b'{"jobs": [{"seed": ', b"9", b"}]}"),
        "many numbers": _filled(b'{"jobs": [{"seed": 1', b",1e308", b"}]}"),
        "one string": _filled(b'{"jobs": [{"custom_id": "', "\U0001f600".encode(), b'"}]}'),
        "spaces": _filled(b"", b" "),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one attack cost."""

    status: int
    seconds: float
    live_s: float
    grown_mb: float


class Target:
    """A running API and its process."""

    def __init__(self, url: str, key: str, pid: int) -> None:
        split = urlsplit(url)
        self.host, self.port = str(split.hostname), int(split.port or 80)
        self._key = key
        self._pid = pid

    def post(self, body: bytes) -> int:
        """Send a batch and return the status."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=120)) as connection:
            connection.request("POST", "/v1/batches", body, headers)
            response = connection.getresponse()
            response.read()
            return response.status

    def silent(self, *, key: bool) -> int:
        """Open connections that announce a body, send all but its end and fall silent; return how many still wait."""
        authorization = f"Authorization: Bearer {self._key}\r\n" if key else ""
        head = (
            f"POST /v1/batches HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n{authorization}"
            f"Content-Length: {BODY_BYTES + 1}\r\n\r\n"
        ).encode()
        connections = [socket.create_connection((self.host, self.port)) for _ in range(SILENT)]
        senders = [threading.Thread(target=_send, args=(one, head + b" " * BODY_BYTES)) for one in connections]
        for one in senders:
            one.start()
        for one in senders:
            one.join()
        waiting = sum(_is_open(one) for one in connections)
        for connection in connections:
            connection.close()
        return waiting

    def cost(self, attack: Callable[[], int]) -> Cost:
        """Measure an attack."""
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # resets the peak
        before = memory_mb(self._pid, "VmRSS")[0]
        ended = threading.Event()
        slowest: list[float] = []
        watcher = threading.Thread(target=self._watch, args=(ended, slowest))
        watcher.start()
        started = time.monotonic()
        status = attack()
        seconds = time.monotonic() - started
        ended.set()
        watcher.join()
        grown_mb = memory_mb(self._pid, "VmHWM")[0] - before
        return Cost(status=status, seconds=seconds, live_s=max(slowest), grown_mb=grown_mb)

    def _watch(self, ended: threading.Event, slowest: list[float]) -> None:
        while not ended.is_set() or not slowest:
            started = time.monotonic()
            with closing(http.client.HTTPConnection(self.host, self.port, timeout=120)) as connection:
                connection.request("GET", "/health/live")
                connection.getresponse().read()
            slowest.append(time.monotonic() - started)
            ended.wait(0.02)


def _send(connection: socket.socket, data: bytes) -> None:
    connection.settimeout(SENT_WITHIN_S)
    try:
        connection.sendall(data)
    except OSError:
        connection.close()


def _is_open(connection: socket.socket) -> bool:
    """Return whether the server neither answered nor closed the connection."""
    try:
        connection.settimeout(0.01)
        connection.recv(1)
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


def _pid() -> int:
    found = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.read_bytes().split(b"\0")[1:3] == [b"-m", b"dubline.api"]
    ]
    if len(found) != 1:
        raise SystemExit(f"Expected one API process on this machine, found {len(found)}.")
    return found[0]


def main() -> None:
    """Attack the API that `DUBLINE_URL` and `DUBLINE_API_KEY` name."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    target = Target(os.environ["DUBLINE_URL"], os.environ["DUBLINE_API_KEY"], int(os.environ.get("API_PID") or _pid()))
    attacks: dict[str, Callable[[], int]] = {
        "silent connections without a key": lambda: target.silent(key=False),
        "silent connections with a key": lambda: target.silent(key=True),
    }
    attacks |= {name: partial(target.post, body) for name, body in bodies().items()}
    for name, attack in attacks.items():
        cost = target.cost(attack)
        print(
            f"{name:35} {cost.status:4} {cost.seconds:6.2f} s  live {1000 * cost.live_s:6.0f} ms  "
            f"{cost.grown_mb:+7.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    with exit_if_unread():
        main()
