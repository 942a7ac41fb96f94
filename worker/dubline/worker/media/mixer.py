"""Mixes decoded audio of any rate, layout and format down to one plain stream, even where these change on the way.

Recordings laid end to end, as programs that speak a text piece by piece make them, change in the middle. The
prober, the networks and the video's own sound all hear a file through here, so that none meets a surprise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import av
import numpy as np
from av import AudioResampler

from dubline.orchestration.domain.errors import NotAudioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

LAYOUTS: Final = {1: "mono", 2: "stereo"}
FULL_SCALE: Final = 2.0**31


def mix(frames: Iterable[AudioFrame], channels: int, rate_hz: int) -> Iterator[NDArray[np.int32]]:
    """Mix and resamples frames; samples follow one another whatever the file's clock says.

    Args:
        frames: as decoded.
        channels: 1 or 2.
        rate_hz: to resample to.

    Yields:
        (n, channels) samples, full scale = 2^31, n of 1 or more.

    Raises:
        NotAudioError: the frames' layout or rate cannot be mixed.
    """
    resampler: AudioResampler | None = None
    shape = None
    for frame in frames:
        found = (frame.sample_rate, frame.layout.name, frame.format.name)
        if resampler is None or found != shape:
            yield from _push(resampler, None, channels)
            # Only for whole numbers does the mixer scale its weights so that their sum cannot clip.
            resampler = AudioResampler(format="s32", layout=LAYOUTS[channels], rate=rate_hz)
            shape = found
        frame.pts = None
        yield from _push(resampler, frame, channels)
    yield from _push(resampler, None, channels)


def as_floats(samples: NDArray[np.int32]) -> NDArray[np.float32]:
    """Samples of one channel, (n, 1), as (n,) in [-1, 1]."""
    return samples.reshape(-1).astype(np.float32) / np.float32(FULL_SCALE)


def _push(resampler: AudioResampler | None, frame: AudioFrame | None, channels: int) -> Iterator[NDArray[np.int32]]:
    """Put one frame in, or None to get what is left, and yields what comes out."""
    if resampler is None:
        return
    try:
        parts = resampler.resample(frame)
    except (av.error.FFmpegError, ValueError) as error:
        raise NotAudioError(
            "The audio's channels or sample rate cannot be mixed. Send mono or stereo at a usual rate."
        ) from error
    for part in parts:
        if part.samples:
            yield part.to_ndarray().astype(np.int32, copy=False).reshape(-1, channels)
