"""Python processes that are forked from one process: a new interpreter takes seconds to import the service.

Run as `python -m tests.forks FD`, it is the process that forks the parts of `dubline up`, with more imports.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self

from dubline.embedded import child, fork_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable, "-m"]
#: What the processes import, but torch, which few need.
PRELOADED = (
    "benchmarks.chaos.phases.light_worker",
    "celery.worker",
    "dubline.api.app",
    "dubline.api.server",
    "dubline.client.cli.commands",
    "dubline.orchestration.commands.database",
    "dubline.orchestration.maintenance.scheduler",
    "dubline.worker.executors.render",
    "kombu.transport.redis",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
#: Packages whose modules are forked.
FORKED = ("benchmarks.", "dubline.", "tests.")


class Forked(fork_server.Forked):
    """A forked process, used as a `Popen`."""

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def connection() -> tuple[socket.socket, socket.socket]:
    """Return the ends of a connection for requests: of the processes that send them, and of the one that forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, fork_server.REQUEST_BYTES)
    return ours, theirs


class Shared:
    """One process that forks for all processes of a parallel run, which are forks of the one that creates this."""

    def __init__(self) -> None:
        self.requests, self.theirs = connection()
        # Kept where it was started, and not waited for: other processes still use it.
        self.process: subprocess.Popen[bytes] | None = None
        self._first, full = os.pipe()
        os.write(full, b"1")
        os.close(full)

    def is_first(self) -> bool:
        """Return whether the caller is the first of all processes, which has to start the process that forks."""
        return bool(os.read(self._first, 1))


class Forks:
    """The process that forks the others."""

    #: Set in a parallel run. The process then ends with the last process of the run.
    shared: ClassVar[Shared | None] = None

    def __enter__(self) -> Self:
        if self.shared is None:
            self._requests, theirs = connection()
            self._process = self._started(theirs)
        else:
            self._requests, theirs = self.shared.requests, self.shared.theirs
            if self.shared.is_first():
                self.shared.process = self._started(theirs)
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        if self.shared is None:
            self._requests.close()
            self._process.wait()

    @staticmethod
    def _started(theirs: socket.socket) -> subprocess.Popen[bytes]:
        command = [*PYTHON, "tests.forks", str(theirs.fileno())]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def start(
        self, argv: Sequence[str], environ: Mapping[str, str], log: IO[Any], out: IO[Any] | None = None, cwd: str = ""
    ) -> Forked:
        """Start `python -m MODULE ARGUMENT ...` with an environment, files for its errors and output, and a folder."""
        assert [*argv[:2]] == PYTHON
        request = json.dumps({"argv": [*argv[2:]], "environ": dict(environ), "folder": cwd or str(ROOT)})
        ours, theirs = socket.socketpair()
        with theirs:
            files = [(out or log).fileno(), log.fileno(), theirs.fileno()]
            socket.send_fds(self._requests, [request.encode()], files)
        return Forked(argv, ours)

    def run(
        self, argv: Sequence[str], environ: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a process to its end; return what it wrote."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
            code = self.start(argv, environ, log, out).wait(timeout_s)
            for file in (out, log):
                file.seek(0)
            return subprocess.CompletedProcess(argv, code, out.read(), log.read())

    @contextmanager
    def embedded(self) -> Iterator[None]:
        """Fork the processes of the service that stacks start meanwhile. Their servers are new programs."""

        def popen(argv: Sequence[str], **options: Any) -> Forked | subprocess.Popen[bytes]:
            if [*argv[:2]] != PYTHON or not argv[2].startswith(FORKED):
                return subprocess.Popen(argv, **options)
            return self.start(argv, options["env"], options["stderr"], options["stdout"], str(options["cwd"]))

        known = {name: getattr(subprocess, name) for name in ("DEVNULL", "TimeoutExpired")}
        child.subprocess = SimpleNamespace(Popen=popen, **known)
        try:
            yield
        finally:
            child.subprocess = subprocess


def children(process: Forked | subprocess.Popen[bytes]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(child) for path in listing for child in path.read_text().split()]


if __name__ == "__main__":
    fork_server.main(int(sys.argv[1]), (PRELOADED,))
