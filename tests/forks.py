"""Python processes that are forked from one process: a new interpreter takes seconds to import the service.

In a parallel run it is a fork of the process that has collected the tests, so it has imported most already. Else it is
started as `python -m tests.forks FD`. It is the process that forks the parts of `dubline up`, with more imports.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from dubline.embedded import child, fork_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
FORKED = ("benchmarks.", "dubline.", "moto.", "tests.")


class Forked(fork_server.Forked):
    """A forked process, used as a `Popen`."""

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def connection() -> tuple[socket.socket, socket.socket]:
    """Return the ends of a connection for requests: of the processes that send them, and of the one that forks."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Shared:
    """One process that forks for all processes of a parallel run, which are forks of the one that creates this."""

    def __init__(self) -> None:
        self.requests, self._theirs = connection()

    def fork(self) -> None:
        """Start the process that forks, as a fork of this one. It ends once no process has the connection any more."""
        if os.fork() == 0:
            self.requests.close()
            _end(lambda: _serve_later(self._theirs))
        self._theirs.close()


class Forks:
    """The process that forks the others."""

    #: Set in a parallel run. The process then ends with the last process of the run.
    shared: ClassVar[Shared | None] = None

    def __enter__(self) -> Self:
        if self.shared is not None:
            self._requests = self.shared.requests
            return self
        self._requests, theirs = connection()
        with theirs:
            fd = theirs.fileno()
            command = [*PYTHON, "tests.forks", str(fd)]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[fd])
        return self

    def __exit__(self, *_: object) -> None:
        if self.shared is None:
            self._requests.close()
            self._process.wait()

    def start(
        self, argv: Sequence[str], environ: Mapping[str, str], log: IO[Any], out: IO[Any] | None = None, cwd: str = ""
    ) -> Forked:
        """Start `python -m MODULE ARGUMENT ...` with an environment, files for its errors and output, and a folder."""
        assert [*argv[:2]] == PYTHON
        request = {"argv": [*argv[2:]], "environ": dict(environ), "folder": cwd or str(ROOT)}
        ours, theirs = socket.socketpair()
        with theirs:
            fork_server.send(self._requests, request, [out or log, log, theirs])
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
        """Fork the processes of the service that stacks start meanwhile, and the S3 server. Others are new programs."""

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


def _serve_later(requests: socket.socket) -> None:
    """Wait for the first request, because many runs have none, then import the modules and fork."""
    os.chdir(ROOT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # What pytest has replaced. A fork has files of its own behind the same descriptors.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
    logging.getLogger().handlers.clear()
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    select.select([requests], [], [])
    # Nothing: the run has ended without a request.
    if requests.recv(1, socket.MSG_PEEK):
        _serve(requests.detach())


def _serve(requests: int) -> None:
    import boto3  # noqa: PLC0415 - every process of the tests imports this file
    from botocore.loaders import JSONFileLoader  # noqa: PLC0415

    # boto parses its description of S3 in every process, and again in every session.
    parsed = functools.cache(JSONFileLoader().load_file)
    JSONFileLoader.load_file = lambda _, file_path: parsed(file_path)  # type: ignore[method-assign]
    boto3.session.Session().client("s3", region_name="us-east-1")
    fork_server.main(requests, (PRELOADED,))


def _end(work: Callable[[], None]) -> NoReturn:
    """Do something and exit as an interpreter does at its end, but leave its memory to the kernel."""
    code: object = 1
    try:
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - the interpreter also prints any error
        traceback.print_exc()
    finally:
        if not isinstance(code, int | None):
            sys.stderr.write(f"{code}\n")
            code = 1
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    _end(lambda: _serve(int(sys.argv[1])))
