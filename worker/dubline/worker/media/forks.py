"""The processes that fork for each job (`template`), and their forks: the worker's side."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import weakref
from collections import defaultdict, deque
from contextlib import nullcontext, suppress
from typing import IO, TYPE_CHECKING, Final

from dubline.worker.media import environment, template

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Last bytes of standard error that are kept.
KEPT_BYTES: Final = 4_000
#: Longest wait for an exit code.
STATUS_LIMIT_S: Final = 2 * template.EXIT_LIMIT_S
#: Longest wait for the end of a fork. A process that does not answer, because it still imports, is killed.
END_LIMIT_S: Final = 1.0


class _Template:
    """A process that imports the decoders of one module and then forks for one job at a time. Ends with this object.

    Args:
        module: `examine` or `decode`.
    """

    def __init__(self, module: str) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as said:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"dubline.worker.media.{module}", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                pass_fds=[theirs.fileno()],
                # An exploited decoder must not find credentials of the bucket or the database.
                env=environment.minimal(),
                # A signal of the terminal must not end it before the worker has finished its part.
                start_new_session=True,
            )
            self._said = os.dup(said.fileno())
        weakref.finalize(self, _end, self.socket, self.process, self._said)

    def said(self) -> bytes:
        """Return the end of its standard error."""
        size = os.fstat(self._said).st_size
        return os.pread(self._said, KEPT_BYTES, max(0, size - KEPT_BYTES))

    def fork(self, files: Sequence[int], *, is_new: bool = False) -> Fork:
        """Fork for a job.

        Args:
            files: descriptors of the untrusted files.
            is_new: whether it has just been started. If such a one has ended, the result has its exit code, as if it
                had ended later.

        Raises:
            BrokenPipeError: the process has ended, and is not new.
        """
        ours, theirs = [], []
        try:
            for writes in (True, False, False):
                read, write = os.pipe()
                mine, its = (write, read) if writes else (read, write)
                theirs.append(its)
                ours.append(os.fdopen(mine, "wb" if writes else "rb", buffering=0))
            with suppress(BrokenPipeError) if is_new else nullcontext():
                socket.send_fds(self.socket, [template.FORK], [*theirs, *files])
        except BaseException:
            for stream in ours:
                stream.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return Fork(self, *ours)

    def ask(self, message: bytes, within_s: float) -> int | None:
        """Send a message to a process with a fork; return the answer, or None if there is none in time."""
        with suppress(OSError):
            self.socket.settimeout(within_s)
            self.socket.sendall(message)
            if answer := self.socket.recv(template.CODE.size):
                code: int = template.CODE.unpack(answer)[0]
                return code
        return None


class Fork:
    """A fork of a process that has the decoders. What it writes is not trusted.

    Args:
        parent: the process.
        stdin: its standard input.
        stdout: its standard output.
        stderr: its standard error.
    """

    def __init__(self, parent: _Template, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._parent = parent
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._code: int | None = None
        self._in_time = True

    def exit_code(self) -> int | None:
        """Return its exit code, negative for a signal; None if it does not exit in time.

        If the process that forks has ended, its exit code is returned, and `said` is what it wrote.
        """
        code = self._parent.ask(template.STATUS, STATUS_LIMIT_S)
        if code is None:
            # A late answer would be read as that to the next message.
            self._in_time = False
            with suppress(subprocess.TimeoutExpired):
                code = self._parent.process.wait(template.EXIT_LIMIT_S)
        self._code = code
        return None if code == template.RUNNING else code

    def said(self) -> bytes:
        """Return the end of the standard error of the process that forks."""
        return self._parent.said()

    def end(self, module: str) -> None:
        """Kill it, and keep the process that forks unless it has failed.

        After a crash the next fork must not have the same layout of memory.

        Args:
            module: of the process.
        """
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()
        answered = self._in_time and self._parent.ask(template.END, END_LIMIT_S) is not None
        if answered and (self._code or 0) >= 0:
            _free[module].append(self._parent)
        elif not answered:
            self._parent.process.kill()


#: By module: processes without a fork. Threads exchange the ends of a deque without a lock.
_free: defaultdict[str, deque[_Template]] = defaultdict(deque)
# A fork of a worker, as in tests, must not use its processes.
os.register_at_fork(after_in_child=_free.clear)


def prepare(module: str) -> None:
    """Start a process that will fork for jobs, unless there is one; it imports the decoders meanwhile.

    Args:
        module: `examine` or `decode`.
    """
    if not _free[module]:
        _free[module].append(_Template(module))


def fork(module: str, files: Sequence[int]) -> Fork:
    """Start a decoder.

    Args:
        module: `examine` or `decode`.
        files: descriptors of the untrusted files.
    """
    while _free[module]:
        with suppress(IndexError, OSError):
            return _free[module].pop().fork(files)
    return _Template(module).fork(files, is_new=True)


def _end(opened: socket.socket, process: subprocess.Popen[bytes], said: int) -> None:
    """End a process: it reads the end of its socket."""
    opened.close()
    os.close(said)
    process.wait()
