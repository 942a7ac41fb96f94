"""A process that imports the service once and forks for each part: imports take most of the time of a start.

The second half of this file runs in that process. Each fork has the arguments, environment, folder and files of its
request and a session of its own, and runs its module as `python -m` does. The process holds no secret; the environment
comes with the request.
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
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final

from dubline.embedded.environment import inherited
from dubline.embedded.errors import PartFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    #: Names of modules, in groups: a request is read after each group.
    Groups = Sequence[Sequence[str]]

#: Name of its log, and what errors call it.
NAME: Final = "fork-server"
#: Characters of the end of its log in an error.
TAIL: Final = 2_000
#: The process id, and the exit code.
NUMBER: Final = struct.Struct("i")

#: Of a message, which has the request in a file, because a message of a socket has a limit and an environment has not.
_FILES: Final = 4


class Forked:
    """A forked part, used as a `Popen`."""

    def __init__(self, argv: Sequence[str], replies: socket.socket) -> None:
        self.args = argv
        self._replies = replies
        self._code: int | None = None
        self.pid: int = NUMBER.unpack(replies.recv(NUMBER.size))[0]

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time.
        """
        if self._code is None:
            self._replies.settimeout(timeout)
            try:
                code = self._replies.recv(NUMBER.size)
            except (TimeoutError, BlockingIOError) as error:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0) from error
            # Whoever kills the process that waits for it kills the part as well.
            self._code = NUMBER.unpack(code)[0] if code else -signal.SIGKILL
            self._replies.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class ForkServer:
    """The process that forks. It ends when this object is closed, or when this process ends; its forks go on.

    Args:
        log: file of its errors.
        groups: modules, which are imported in this order. A part that is requested meanwhile is forked after the next
            group, so the modules that it needs make one.
    """

    def __init__(self, log: Path, groups: Groups) -> None:
        self._log = log
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        named = tuple(map(tuple, groups))
        with theirs, log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import main; main({theirs.fileno()}, {named})"],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=inherited(),
                # Modules of the folder in which the user is must not hide installed ones.
                cwd=log.parent,
                pass_fds=[theirs.fileno()],
                # A signal of the terminal must not end it: it would leave its forks unwatched.
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process, which may still import."""
        self._requests.close()
        self._process.kill()
        self._process.wait()

    def start(
        self, argv: Sequence[str], environ: Mapping[str, str], folder: Path, output: IO[bytes], log: IO[bytes]
    ) -> Forked:
        """Fork a part.

        Args:
            argv: the interpreter, "-m", a module and its arguments.
            environ: its environment.
            folder: its working directory.
            output: file of its standard output.
            log: file of its standard error.

        Raises:
            PartFailed: the process that forks has ended.
        """
        request = {"argv": list(argv[2:]), "environ": dict(environ), "folder": str(folder)}
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                send(self._requests, request, [output, log, theirs])
            return Forked(argv, ours)
        except (ConnectionError, struct.error) as error:
            ours.close()
            raise PartFailed(NAME, "has ended", self._log.read_text(errors="replace")[-TAIL:]) from error


def send(requests: socket.socket, part: Mapping[str, object], files: Sequence[IO[Any] | socket.socket]) -> None:
    """Request a fork.

    Args:
        requests: of the process that forks.
        part: the arguments of `_become`.
        files: of its output and errors, and the socket of the replies.

    Raises:
        ConnectionError: the process that forks has ended.
    """
    with os.fdopen(os.memfd_create("request"), "w+", encoding="utf-8") as request:
        json.dump(part, request)
        request.seek(0)
        socket.send_fds(requests, [b"fork"], [one.fileno() for one in (request, *files)])


def main(requests: int, groups: Groups) -> None:
    """Fork for the requests on a socket, given by its descriptor, until its other end is closed."""
    _serve(socket.socket(fileno=requests), groups)


def _serve(requests: socket.socket, groups: Groups) -> None:
    """Import modules, fork for each request, and return when the other end is closed. Forks return at their end."""
    # The processes between this one and the parts are not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for names in groups:
        for name in names:
            import_module(name)
        requests.setblocking(False)
        while (forked := _answer(requests)) is not None:
            if forked:
                return
    requests.setblocking(True)
    # The search for garbage would copy the memory that the processes share.
    gc.freeze()
    while _answer(requests) is False:
        pass


def _answer(requests: socket.socket) -> bool | None:
    """Read a request and fork; return whether this process is to end, or None if there is no request."""
    try:
        message, files, _, _ = socket.recv_fds(requests, len(b"fork"), _FILES)
    except BlockingIOError:
        return None
    if not message:
        return True
    if not os.fork():
        requests.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _fork(*files)
        return True
    for file in files:
        os.close(file)
    return False


def _fork(request: int, output: int, log: int, replies: int) -> None:
    """Fork the part; reply with its process id and, at its end, with its exit code."""
    with os.fdopen(request, encoding="utf-8") as written:
        part = json.load(written)
    pid = os.fork()
    if not pid:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(log, 2)
        for file in (output, log, replies):
            os.close(file)
        _become(**part)
        return
    os.write(replies, NUMBER.pack(pid))
    # Until its end is known no other process may get its id, to which a signal may be sent.
    ended: Any = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    os.write(replies, NUMBER.pack(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status))
    os.waitpid(pid, 0)
    os._exit(0)


def _become(argv: list[str], environ: dict[str, str], folder: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    name, *_ = sys.argv = argv
    # A module that another one imported would not be run without a warning.
    for imported in (name, f"{name}.__main__"):
        if not hasattr(sys.modules.get(imported), "__path__"):
            sys.modules.pop(imported, None)
    runpy.run_module(name, run_name="__main__", alter_sys=True)
