"""One run of the ffmpeg binary: raw data in by a pipe, words out by another, its exit code always looked at."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections import deque
from contextlib import suppress
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Final, cast

import structlog

from dubline.orchestration.domain.errors import EncoderFailedError, ScratchFullError
from dubline.worker.media import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

_log = structlog.get_logger(__name__)

KEPT_LINES: Final = 12
EXIT_LIMIT_S: Final = 60.0
#: A sound ffmpeg takes the next bytes within milliseconds, even where many share few processors within seconds.
STALL_LIMIT_S: Final = 120.0
#: How often it is reported that ffmpeg is being waited for.
REPORT_S: Final = 0.5
#: How ffmpeg names a disk that takes no more.
FULL: Final = ("No space left on device", "Disk quota exceeded")
ADVICE: Final = "The attempt is repeated by itself; if it goes on, ask the operator to look into the worker's log."


def keep_quiet() -> None:
    """Report to nobody."""


def run(
    command: Sequence[str],
    frames: Iterable[NDArray[Any]] = (),
    limit_s: float = EXIT_LIMIT_S,
    report: Callable[[], None] = keep_quiet,
) -> int:
    """Run ffmpeg to its end. What it says goes into the log and to nobody else: its words name local paths.

    Args:
        command: the binary and its arguments.
        frames: raw frames or samples for its standard input, C-contiguous, written as they come.
        limit_s: how long it may take after the last frame.
        report: called at least every `REPORT_S` while ffmpeg is waited for; what it raises ends ffmpeg.

    Returns:
        How many frames were written.

    Raises:
        EncoderFailedError: it could not be started, stopped with an error, or did not read or stop in time.
        ScratchFullError: the disk took no more.
    """
    try:
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment.bare(),
        )
    except OSError as error:
        raise EncoderFailedError(f"ffmpeg cannot be started: {error.strerror}. {ADVICE}") from error
    words: deque[str] = deque(maxlen=KEPT_LINES)
    with process:
        # A pipe that nobody empties stops its writer: read while frames are written.
        reader = Thread(target=_keep, args=(process.stderr, words), name="ffmpeg-words", daemon=True)
        reader.start()
        try:
            count = _feed(cast("IO[bytes]", process.stdin), frames, report)
            code = _wait(process, limit_s, report)
        finally:
            # Whatever ended the frames, a lost lease too, must not leave a process behind.
            process.kill()
            reader.join()
    if code != 0:
        _log.warning("encoder_failed", exit_code=code, words=list(words))
        if any(full in word for word in words for full in FULL):
            raise ScratchFullError
        raise EncoderFailedError(f"ffmpeg stopped with exit code {code}. {ADVICE}")
    return count


def _feed(pipe: IO[bytes], frames: Iterable[NDArray[Any]], report: Callable[[], None]) -> int:
    count = 0
    os.set_blocking(pipe.fileno(), False)
    # ffmpeg may leave first; its exit code and last words tell why.
    with suppress(BrokenPipeError):
        for frame in frames:
            _write(pipe.fileno(), frame.data.cast("B"), report)
            count += 1
    pipe.close()
    return count


def _write(pipe: int, data: memoryview, report: Callable[[], None]) -> None:
    """Write all of it, but waits for no reader that has stopped reading."""
    room = select.poll()
    room.register(pipe, select.POLLOUT)
    stalled_at = time.monotonic() + STALL_LIMIT_S
    while data:
        if room.poll(1000 * REPORT_S):
            data = data[os.write(pipe, data) :]
            stalled_at = time.monotonic() + STALL_LIMIT_S
        elif time.monotonic() > stalled_at:
            raise EncoderFailedError(f"ffmpeg read nothing for {STALL_LIMIT_S:g} s. {ADVICE}")
        else:
            report()


def _wait(process: subprocess.Popen[bytes], limit_s: float, report: Callable[[], None]) -> int:
    """Wait for ffmpeg's exit code."""
    until = time.monotonic() + limit_s
    while True:
        try:
            return process.wait(min(REPORT_S, limit_s))
        except subprocess.TimeoutExpired as error:
            if time.monotonic() >= until:
                raise EncoderFailedError(f"ffmpeg did not stop within {limit_s:g} s. {ADVICE}") from error
            report()


def _keep(pipe: IO[bytes], words: deque[str]) -> None:
    for line in pipe:
        words.append(line.decode(errors="replace").strip())
