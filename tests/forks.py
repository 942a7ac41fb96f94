"""Python processes that are forked from one process: a new interpreter takes seconds to import the service.

Run as `python -m tests.forks FD`, it imports the service, then forks a process for each request that the socket
receives. The process has the arguments, environment, folder and output of the request, and a session of its own. It
runs its module as `python -m` does.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self

from dubline.embedded import child

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
#: More than an environment has.
REQUEST_BYTES = 1 << 20
#: The process id, and the exit code.
NUMBER = struct.Struct("i")


class Forked:
    """A forked process, used as a `Popen`."""

    def __init__(self, argv: Sequence[str], replies: socket.socket) -> None:
        self.args = argv
        self._replies = replies
        (self.pid,) = NUMBER.unpack(replies.recv(NUMBER.size))
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code."""
        if self._code is None:
            self._replies.settimeout(timeout)
            try:
                (self._code,) = NUMBER.unpack(self._replies.recv(NUMBER.size))
            except (TimeoutError, BlockingIOError) as error:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0) from error
            self._replies.close()
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def connection() -> tuple[socket.socket, socket.socket]:
    """Return the ends of a connection for requests: of the processes that send them, and of the one that forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES)
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
        return subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])

    def start(
        self, argv: Sequence[str], environ: Mapping[str, str], log: IO[Any], out: IO[Any] | None = None, cwd: str = ""
    ) -> Forked:
        """Start `python -m MODULE ARGUMENT ...` with an environment, files for its errors and output, and a folder."""
        assert [*argv[:2]] == PYTHON
        request = json.dumps({"argv": [*argv[2:]], "environ": dict(environ), "cwd": cwd or str(ROOT)})
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


def serve(requests: socket.socket) -> None:
    """Fork a process for each request until the other end is closed."""
    for name in PRELOADED:
        import_module(name)
    # The search for garbage would copy the memory that the processes share.
    gc.freeze()
    # The processes between this one and the forked ones are not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, fds, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _fork(json.loads(message), *fds)
            return
        for fd in fds:
            os.close(fd)


def _fork(request: dict[str, Any], out: int, log: int, replies: int) -> None:
    """Fork the process; reply with its process id and, at its end, with its exit code."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        with Path(os.devnull).open("rb") as nothing:
            for fd, number in ((nothing.fileno(), 0), (out, 1), (log, 2)):
                os.dup2(fd, number)
        for fd in (out, log, replies):
            os.close(fd)
        _become(**request)
        return
    os.write(replies, NUMBER.pack(pid))
    os.write(replies, NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _become(argv: list[str], environ: dict[str, str], cwd: str) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    name, *arguments = argv
    sys.argv = [name, *arguments]
    # A module that another one imported would not be run without a warning.
    for imported in (name, f"{name}.__main__"):
        if not hasattr(sys.modules.get(imported), "__path__"):
            sys.modules.pop(imported, None)
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
