"""Processes of a parallel run, forked from one process that has collected the tests.

A new interpreter takes seconds to import what the tests import, and each process of pytest-xdist would do so. Run as
`python tests/workers.py SOCKET -u -c SOURCE`, this file stands for the interpreter that execnet starts: it passes its
input and output to the process that forks, and ends with the fork.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from execnet import XSpec

#: More than the source has with which execnet starts a process.
SOURCE_BYTES = 1 << 16
STANDARD = (0, 1, 2)
#: What a fork answers once it has input, output and source.
ACCEPTED = b"1"
#: Given last, these replace what the command line says.
COLLECT = ("--numprocesses=0", "--collect-only", "-qq")


def fork(config: pytest.Config, specs: Sequence[XSpec]) -> None:
    """Start the process that forks, and let execnet start the processes of the run through it.

    It ends with this one, which alone holds the other end of its pipe. Outside Linux, loaded libraries do not survive a
    fork: new interpreters are started as without this function.
    """
    from tests.forks import Forks, Shared  # noqa: PLC0415 - the interpreter that stands for another one has no packages

    if sys.platform != "linux":
        return
    Forks.shared = Shared()
    folder = tempfile.TemporaryDirectory(prefix="dubline-tests-")
    config.add_cleanup(folder.cleanup)
    path = Path(folder.name) / "forks"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    ended, running = os.pipe()
    config.add_cleanup(lambda: os.close(running))
    if os.fork() == 0:
        os.close(running)
        _serve(server, ended, [*config.invocation_params.args])
    server.close()
    os.close(ended)
    for spec in specs:
        # Without the packages of the environment, this interpreter starts in some 20 ms.
        spec.python = shlex.join([sys.executable, "-I", "-S", __file__, str(path)])


def _serve(server: socket.socket, ended: int, arguments: Sequence[str | os.PathLike[str]]) -> NoReturn:
    """Collect the tests, then fork a process for each connection until `ended` is at its end."""
    import atexit  # noqa: PLC0415 - the interpreter that stands for another one needs neither
    import select  # noqa: PLC0415

    # The exit functions of the controller are not those of this process, and what the forks add is theirs.
    atexit._clear()
    if not _collect(arguments) or len([*Path("/proc/self/task").iterdir()]) > 1:
        # A file that failed would count as imported in the forks, and a lock of another thread would never be released.
        os._exit(1)
    from tests.forks import Forks  # noqa: PLC0415

    assert Forks.shared is not None
    Forks.shared.fork()
    # An interrupt of the terminal is for the forks; the controller ends this process. Few forks: none is waited for.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    while ended not in select.select([server, ended], [], [])[0]:
        connection, _ = server.accept()
        if os.fork() == 0:
            for descriptor in (server.detach(), ended):
                os.close(descriptor)
            signal.signal(signal.SIGINT, handler)
            try:
                _become(connection)
            finally:
                atexit._run_exitfuncs()
                sys.stderr.flush()
                os._exit(0)
        connection.close()
    os._exit(0)


def _collect(arguments: Sequence[str | os.PathLike[str]]) -> bool:
    """Import the tests without output; return whether all could be imported."""
    import pytest  # noqa: PLC0415 - the interpreter that stands for another one has no packages

    output = [os.dup(number) for number in STANDARD]
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in STANDARD:
        os.dup2(nothing, number)
    code = pytest.main([*arguments, *COLLECT])
    for number in STANDARD:
        os.dup2(output[number], number)
    for descriptor in (nothing, *output):
        os.close(descriptor)
    return code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}


def _become(connection: socket.socket) -> None:
    """Run what execnet sends, as a new interpreter would. The connection stays open until this process ends."""
    from types import ModuleType  # noqa: PLC0415

    source, descriptors, _, _ = socket.recv_fds(connection, SOURCE_BYTES, len(STANDARD))
    for number, descriptor in zip(STANDARD, descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    connection.send(ACCEPTED)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it is open
    sys.argv = ["-c"]
    sys.modules["__main__"] = main = ModuleType("__main__")
    exec(source, main.__dict__)  # noqa: S102 - as `python -c` does


def _stand(path: str, arguments: Sequence[str]) -> None:
    """Pass input, output and the source to the process that forks, and wait for the end of the fork.

    Become a new interpreter if that process has ended, because a file could not be imported.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [arguments[-1].encode()], STANDARD)
            accepted = connection.recv(len(ACCEPTED))
        except ConnectionError:
            accepted = b""
        if not accepted:
            os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell is meant
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):
            os.dup2(nothing, number)
        connection.recv(1)


if __name__ == "__main__":
    _stand(sys.argv[1], sys.argv[2:])
