"""A process that has imported the decoders and forks for each job: the side that forks.

It holds no secret and no file, and reads no untrusted byte. Its forks enter the sandbox before they read one. Messages
on its socket: files to fork for; then `STATUS` any number of times, and `END`.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from dubline.orchestration import process
from dubline.worker.media import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Task = Callable[[dict[str, Any], list[BinaryIO]], Iterable[bytes]]

FORK: Final = b"f"
STATUS: Final = b"s"
END: Final = b"e"
#: The answer to STATUS and to END: an exit code, negative for a signal.
CODE: Final = struct.Struct(">i")
#: Instead of an exit code: the fork runs.
RUNNING: Final = 1 << 16
#: Longest wait of an answer to STATUS for the exit of a fork.
EXIT_LIMIT_S: Final = 5.0
#: Descriptors of one message: standard streams and files.
MOST_FILES: Final = 16

_STEP_S: Final = 0.005


def serve(task: Task) -> int:
    """Fork for each message until the worker ends.

    The argument of the process is the file descriptor of its socket.

    Args:
        task: as of `sandbox.work`.

    Returns:
        The exit code of this process, 0.
    """
    process.hide_memory()
    with socket.socket(fileno=int(sys.argv[1])) as worker:
        while True:
            message, files, _, _ = socket.recv_fds(worker, 1, MOST_FILES)
            if not message:
                return 0
            child = os.fork()
            if not child:
                worker.close()
                _run(task, files)
            for file in files:
                os.close(file)
            if not _attend(worker, child):
                return 0


def _run(task: Task, files: Sequence[int]) -> None:
    """Do the work of a fork, which never returns. The first three files are its standard streams."""
    code = 1
    try:
        for stream, file in enumerate(files[:3]):
            os.dup2(file, stream)
            os.close(file)
        code = sandbox.work(task, files[3:])
    except BaseException:  # noqa: BLE001 - any error ends the fork here, with its trace on standard error
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        # The handlers of the exit belong to the process that forked.
        os._exit(code)


def _attend(worker: socket.socket, child: int) -> bool:
    """Answer the worker until it ends the fork; return False if the worker itself has ended."""
    code: int | None = None
    while True:
        asked = worker.recv(1)
        if asked == STATUS:
            code = _code(child, EXIT_LIMIT_S) if code is None else code
            worker.sendall(CODE.pack(RUNNING if code is None else code))
            continue
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        if asked:
            worker.sendall(CODE.pack(0))
        return bool(asked)


def _code(child: int, within_s: float) -> int | None:
    """Wait for the exit code of a fork; None if it still runs."""
    until = time.monotonic() + within_s
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(_STEP_S)
