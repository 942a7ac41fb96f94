"""One run of the ffmpeg binary: raw data goes to stdin, diagnostics are read from stderr, the exit code is checked."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections import deque
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Final, cast

import structlog

from dubline.orchestration.domain.errors import EncoderFailedError, ScratchFullError
from dubline.worker.media import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

_log = structlog.get_logger(__name__)

#: Last lines of stderr that are logged.
KEPT_LINES: Final = 12
EXIT_LIMIT_S: Final = 60.0
#: ffmpeg reads the next bytes within milliseconds, on overloaded machines within seconds.
STALL_LIMIT_S: Final = 120.0
#: Longest time between two reports while waiting for ffmpeg.
REPORT_S: Final = 0.5
#: Diagnostics of ffmpeg for a full disk.
DISK_FULL: Final = ("No space left on device", "Disk quota exceeded")
ADVICE: Final = (
    "The attempt is retried automatically; if the error persists, ask the operator to check the worker's log."
)


def run(
    command: Sequence[str],
    frames: Iterable[NDArray[Any]] = (),
    limit_s: float = EXIT_LIMIT_S,
    report: Callable[[], None] = lambda: None,
) -> int:
    """Run ffmpeg to its end. Its diagnostics are only logged, never sent to a tenant, because they contain local paths.

    Args:
        command: the binary and its arguments.
        frames: raw frames or samples for stdin, C-contiguous, written one at a time.
        limit_s: longest time between the last frame and the exit.
        report: called at least every `REPORT_S` while waiting for ffmpeg; an exception kills ffmpeg.

    Returns:
        The number of frames written.

    Raises:
        EncoderFailedError: ffmpeg cannot be started, exits with an error, or does not read or exit in time.
        ScratchFullError: the disk is full.
    """
    try:
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment.minimal(),
        )
    except OSError as error:
        raise EncoderFailedError(f"ffmpeg cannot be started: {error.strerror}. {ADVICE}") from error
    lines: deque[str] = deque(maxlen=KEPT_LINES)
    with process:
        # ffmpeg blocks when the stderr pipe is full, so stderr is read while frames are written.
        reader = Thread(target=_read_lines, args=(process.stderr, lines), name="ffmpeg-stderr", daemon=True)
        reader.start()
        try:
            count = _feed(cast("IO[bytes]", process.stdin), frames, report)
            code = _wait(process, reader, limit_s, report)
        finally:
            # No process is left behind, whatever ended the frames, for example a lost lease.
            process.kill()
            reader.join()
    if code != 0:
        _log.warning("encoder_failed", exit_code=code, stderr=list(lines))
        if any(full in line for line in lines for full in DISK_FULL):
            raise ScratchFullError
        raise EncoderFailedError(f"ffmpeg stopped with exit code {code}. {ADVICE}")
    return count


def _feed(pipe: IO[bytes], frames: Iterable[NDArray[Any]], report: Callable[[], None]) -> int:
    count = 0
    os.set_blocking(pipe.fileno(), False)
    for frame in frames:
        if not _write(pipe.fileno(), frame.data.cast("B"), report):
            break
        count += 1
    pipe.close()
    return count


def _write(pipe: int, data: memoryview, report: Callable[[], None]) -> bool:
    """Write all of `data`; fail if nothing is read for `STALL_LIMIT_S`.

    Returns:
        False if ffmpeg exits first; its exit code and diagnostics give the reason.
    """
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    stalled_at = time.monotonic() + STALL_LIMIT_S
    while data:
        if poll.poll(1000 * REPORT_S):
            try:
                data = data[os.write(pipe, data) :]
            except BrokenPipeError:
                return False
            stalled_at = time.monotonic() + STALL_LIMIT_S
        elif time.monotonic() > stalled_at:
            raise EncoderFailedError(f"ffmpeg read nothing for {STALL_LIMIT_S:g} s. {ADVICE}")
        else:
            report()
    return True


def _wait(process: subprocess.Popen[bytes], reader: Thread, limit_s: float, report: Callable[[], None]) -> int:
    """Wait for ffmpeg to exit; return its exit code.

    The end of its diagnostics is waited for first: Python looks for an exit only every 50 ms.
    """
    until = time.monotonic() + limit_s
    while True:
        reader.join(min(REPORT_S, limit_s))
        try:
            return process.wait(0 if reader.is_alive() else min(REPORT_S, limit_s))
        except subprocess.TimeoutExpired as error:
            if time.monotonic() >= until:
                raise EncoderFailedError(f"ffmpeg did not stop within {limit_s:g} s. {ADVICE}") from error
            report()


def _read_lines(pipe: IO[bytes], lines: deque[str]) -> None:
    for line in pipe:
        lines.append(line.decode(errors="replace").strip())
