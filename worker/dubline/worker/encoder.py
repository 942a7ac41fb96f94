"""One run of the ffmpeg binary: frames in by a pipe, words out by another, its exit code always looked at."""

import subprocess
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Thread
from typing import IO, cast

import numpy as np
import structlog
from numpy.typing import NDArray

from dubline.orchestration.errors import EncoderFailedError

log = structlog.get_logger(__name__)

KEPT_LINES = 12
EXIT_LIMIT_S = 60.0


def run(command: Sequence[str], frames: Iterable[NDArray[np.uint8]] = (), limit_s: float = EXIT_LIMIT_S) -> int:
    """Runs ffmpeg to its end.

    Args:
        command: the binary and its arguments.
        frames: raw frames for its standard input, written as they come.
        limit_s: how long it may take after the last frame.

    Returns:
        How many frames were written.

    Raises:
        EncoderFailedError: it could not be started, stopped with an error, or did not stop.
    """
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError as error:
        raise EncoderFailedError(f"ffmpeg cannot be started: {error.strerror}.") from error
    words: deque[str] = deque(maxlen=KEPT_LINES)
    with process:
        # A pipe that nobody empties stops its writer: read while frames are written.
        reader = Thread(target=_keep, args=(process.stderr, words), name="ffmpeg-words", daemon=True)
        reader.start()
        try:
            count = _feed(cast("IO[bytes]", process.stdin), frames)
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise EncoderFailedError(f"ffmpeg did not stop within {limit_s:g} s.") from error
        finally:
            # Whatever ended the frames, a lost lease too, must not leave a process behind.
            process.kill()
            reader.join()
    if code != 0:
        log.warning("encoder_failed", exit_code=code, words=list(words))
        last_words = " | ".join(words) or "it said nothing"
        raise EncoderFailedError(f"ffmpeg stopped with exit code {code}: {last_words}")
    return count


def _feed(pipe: IO[bytes], frames: Iterable[NDArray[np.uint8]]) -> int:
    count = 0
    # ffmpeg may leave first; its exit code and last words tell why.
    with suppress(BrokenPipeError):
        for frame in frames:
            pipe.write(frame.data)
            count += 1
    # Closing writes what is left in the buffer.
    with suppress(BrokenPipeError):
        pipe.close()
    return count


def _keep(pipe: IO[bytes], words: deque[str]) -> None:
    for line in pipe:
        words.append(line.decode(errors="replace").strip())
