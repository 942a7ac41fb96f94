"""The sandbox of a process that decodes untrusted files: no credentials, files, network or processes within reach.

The process is a fork of one that has imported the decoders (`template`). It calls `work`, which gives up what the
kernel allows to give up and only then reads the files, which the worker has opened. `python -m
dubline.worker.media.sandbox` prints which protections this machine refuses.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from dubline.orchestration import process
from dubline.worker.media import seccomp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEMORY_BYTES: Final = 2 << 30
PROCESSOR_S: Final = 100
#: User and group where the process starts as root. Debian reserves the number; no account has it.
USER: Final = 65_432
#: Exit code of a process that refuses its file; the last line of its standard error is the reason.
REFUSED: Final = 3

#: Length of a frame.
LENGTH: Final = struct.Struct(">I")

_PARENT_DEATH_SIGNAL: Final = 1
_NO_NEW_PRIVILEGES: Final = 38


def limit() -> None:
    """Limit memory; called before the imports of the decoders, which size pools and arenas."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def enter() -> list[str]:
    """Give up everything but the open files, memory and time.

    Standard output and error must be pipes.

    Returns:
        The protections that this machine refuses; the others hold.
    """
    refused = []
    # The soft limit sends SIGXCPU, which distinguishes a slow file from a kill; the hard limit sends SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + 5))
    if os.geteuid() == 0 and not _succeeds(_leave_root):
        refused.append("another_user")
    # No further file, socket, process or thread, and no byte in a regular file.
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    if not _succeeds(_isolate):
        refused.append("private_memory")
    if not _succeeds(seccomp.restrict):
        refused.append("system_call_filter")
    return refused


def work(task: Callable[[dict[str, Any], list[BinaryIO]], Iterable[bytes]], numbers: Iterable[int]) -> int:
    """Enter the sandbox and answer the questions on standard input, one JSON object a line, until it is closed.

    An answer is a number of frames on standard output, each with its length before it, and an empty frame at the end.

    Args:
        task: gets a question and the files, and yields the frames of the answer.
        numbers: file descriptors of the untrusted files.

    Returns:
        The exit code: 0, or `REFUSED` with a JSON object of code and detail on standard error.
    """
    # Not at the top: the check of a machine needs no error classes.
    from dubline.orchestration.domain.errors import BadInputError, MediaTruncatedError  # noqa: PLC0415

    files: list[BinaryIO] = [os.fdopen(number, "rb") for number in numbers]
    sys.meta_path.insert(0, _NoImports())
    enter()
    try:
        for line in sys.stdin.buffer:
            for frame in task(json.loads(line), files):
                _send(frame)
            _send(b"")
    except BadInputError as error:
        return _refuse(error)
    except MemoryError:
        return _refuse(
            MediaTruncatedError("The file needs too much memory to decode. Re-encode it and upload it again.")
        )
    return 0


def _send(frame: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(frame)) + frame)
    sys.stdout.buffer.flush()


class _NoImports:
    """Makes a late import a defect: a decoder that cannot load a module must not blame the file."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        raise RuntimeError(f"{name} is imported inside the sandbox; import it at the top of the decoder's module")


def _refuse(error: Any) -> int:
    sys.stderr.write("\n" + json.dumps({"code": error.code, "detail": error.detail}))
    return REFUSED


def _leave_root() -> None:
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


def _isolate() -> None:
    process.control(_NO_NEW_PRIVILEGES, 1)
    process.hide_memory()
    # A change of the user clears it, so it comes after that.
    process.control(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _succeeds(step: Callable[[], None]) -> bool:
    try:
        step()
    except (OSError, AttributeError):
        return False
    return True


if __name__ == "__main__":
    sys.stdout.write(json.dumps(enter()))
