"""Starts the processes that decode untrusted files in a sandbox, and reads their answers.

A file that crashes its decoder ends only that process, and is rejected.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from dubline.orchestration.domain.errors import BadInputError, MediaTruncatedError, from_code
from dubline.worker.media import environment, forks, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dubline.worker.media.forks import Fork

_log = structlog.get_logger(__name__)

#: Longest time without a byte from a decoder.
TIME_LIMIT_S: Final = 120.0
#: Longest time between two reports while waiting for a decoder.
REPORT_S: Final = 0.5
CHUNK_BYTES: Final = 1 << 20
#: Signals of a crash, other than those of a limit that was exceeded.
CRASHES: Final = frozenset({signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS})
#: Signals of an operator or of the kernel's out-of-memory killer, which do not depend on the file.
FROM_OUTSIDE: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM})


@contextmanager
def started(module: str, paths: Sequence[Path], report: Callable[[], None]) -> Iterator[Decoder]:
    """Start a decoder, and end it with the context, whatever it does.

    Args:
        module: `examine` or `decode`.
        paths: the untrusted files; the decoder gets them opened.
        report: called at least every `REPORT_S` while waiting; an exception ends the wait.
    """
    with ExitStack() as opened:
        process = forks.fork(module, [opened.enter_context(path.open("rb")).fileno() for path in paths])
    try:
        yield Decoder(process, report)
    finally:
        process.end(module)


class Decoder:
    """A running decoder. What it sends is not trusted.

    Args:
        process: the process.
        report: called at least every `REPORT_S` while waiting; an exception ends the wait.
    """

    def __init__(self, process: Fork, report: Callable[[], None]) -> None:
        self._process, self._report = process, report
        self._said = b""
        self._received = bytearray()
        self._answer: Iterator[bytes] = iter(())

    def ask(self, question: Mapping[str, Any], most_bytes: int) -> Iterator[bytes]:
        """Ask a question, after the rest of the last answer.

        Args:
            question: JSON types only.
            most_bytes: length of the whole answer, at most.

        Yields:
            The frames of the answer.

        Raises:
            BadInputError: the subclass that the decoder names; `MediaTruncatedError` if it crashed, took too long or
                sent too much.
            RuntimeError: the decoder failed for a reason that does not depend on the file.
        """
        for _ in self._answer:
            pass
        self._answer = self._frames(most_bytes)
        # A decoder that has ended gives its reason at the first read.
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
        return self._answer

    def _frames(self, most_bytes: int) -> Iterator[bytes]:
        while length := sandbox.LENGTH.unpack(self._read(sandbox.LENGTH.size))[0]:
            most_bytes -= length
            if most_bytes < 0:
                raise undecodable()
            yield self._read(length)

    def _read(self, count: int) -> bytes:
        """Wait for a number of bytes on standard output, and keep the end of standard error."""
        until = time.monotonic() + TIME_LIMIT_S
        with selectors.DefaultSelector() as pipes:
            for pipe in (self._process.stdout, self._process.stderr):
                pipes.register(pipe, selectors.EVENT_READ)
            while len(self._received) < count:
                ready = pipes.select(min(REPORT_S, TIME_LIMIT_S))
                self._report()
                if time.monotonic() > until:
                    raise MediaTruncatedError("The file takes too long to decode. Re-encode it and upload it again.")
                for key, _ in ready:
                    data = os.read(key.fd, CHUNK_BYTES)
                    if not data:
                        pipes.unregister(key.fileobj)
                    elif key.fileobj is self._process.stderr:
                        self._said = (self._said + data)[-forks.KEPT_BYTES :]
                    else:
                        self._received += data
                if not pipes.get_map():
                    code = self._process.exit_code()
                    if code is None:
                        raise undecodable()
                    _check(code, self._said or self._process.said())
        data = bytes(self._received[:count])
        del self._received[:count]
        return data


def log_protections() -> None:
    """Log once, at the start of a worker, which protections of the sandbox this machine refuses."""
    command = [sys.executable, "-P", "-m", "dubline.worker.media.sandbox"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment.minimal(), check=True)
    refused = json.loads(done.stdout)
    if refused:
        _log.warning("sandbox_degraded", refused=refused)
    else:
        _log.info("sandbox_complete")


def undecodable() -> MediaTruncatedError:
    """Make the error for a file that crashes its decoder."""
    return MediaTruncatedError("The file cannot be decoded within limits. Re-encode it and upload it again.")


def _check(code: int, said: bytes) -> None:
    """Raise what the exit of a decoder in the middle of an answer means."""
    if -code in FROM_OUTSIDE:
        raise RuntimeError(f"the decoder was stopped by signal {-code}")
    if code < 0:
        _log.warning("decoder_killed", signal=-code)
        error = undecodable()
        error.crashed = -code in CRASHES
        raise error
    if code == sandbox.REFUSED:
        raise _refusal(said)
    if code == 0:
        raise undecodable()
    raise RuntimeError(said.decode(errors="replace")[-2000:])


def _refusal(said: bytes) -> BadInputError:
    """Read the error that a decoder names. What it says is not trusted either."""
    try:
        reason = json.loads(said.rpartition(b"\n")[2])
        error = from_code(str(reason["code"]), str(reason["detail"]))
    except (ValueError, TypeError, KeyError):
        return undecodable()
    return error if isinstance(error, BadInputError) else undecodable()
