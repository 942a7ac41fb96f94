"""Light workers that are forked from one process: a new interpreter takes two processor seconds to import a worker.

Run as `python forks.py FD`, it forks one light worker for each request that the socket receives.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from tests.integration.worker import light

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from dubline.orchestration.database.store import Store

ROOT = Path(__file__).parents[3]
#: More than an environment has.
REQUEST_BYTES = 1 << 20
#: The process id, and the exit code.
NUMBER = struct.Struct("i")


class Forked:
    """A forked worker, used as a `Popen`."""

    def __init__(self, replies: socket.socket) -> None:
        self._replies = replies
        (self.pid,) = NUMBER.unpack(replies.recv(NUMBER.size))
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        try:
            return self.wait(0)
        except (TimeoutError, BlockingIOError):
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code."""
        if self._code is None:
            self._replies.settimeout(timeout)
            (self._code,) = NUMBER.unpack(self._replies.recv(NUMBER.size))
            self._replies.close()
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Forks:
    """The process that forks the workers."""

    def __enter__(self) -> Self:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES)
        with theirs:
            command = [sys.executable, "-m", "tests.integration.worker.forks", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.wait()

    def start(self, environ: Mapping[str, str], log: BinaryIO) -> Forked:
        """Start a worker with an environment and a file for its log, in a session of its own."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._requests, [json.dumps(dict(environ)).encode()], [log.fileno(), theirs.fileno()])
        return Forked(ours)


def children(process: Forked | subprocess.Popen[bytes]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(child) for path in listing for child in path.read_text().split()]


def child_of(store: Store, tenant: str, job_id: UUID) -> int:
    """Return the process id of the child that has the latest attempt."""
    return int(store.jobs.attempts(tenant, job_id)[-1].worker.rpartition("/")[2])


def serve(requests: socket.socket) -> None:
    """Fork a worker for each request until the other end is closed."""
    # The processes between this one and the workers are not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 2)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _run(json.loads(message), *fds)
        for fd in fds:
            os.close(fd)


def _run(environ: dict[str, str], log: int, replies: int) -> None:
    """Fork a worker; reply with its process id and, at its end, with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(replies)
        os.setsid()
        os.dup2(log, sys.stderr.fileno())
        os.environ.clear()
        os.environ.update(environ)
        os._exit(light.serve())
    os.write(replies, NUMBER.pack(pid))
    os.write(replies, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
