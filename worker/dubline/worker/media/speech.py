"""Streams a speech track: mono seconds for the networks, mono or stereo for the video, however long it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dubline.worker.media import mixer
from dubline.worker.media.audio import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.worker.media.container import Container


def samples(path: Path, container: Container, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Decode speech once from start to end; call it again for another pass.

    Args:
        path: a file that was probed.
        container: what its bytes are.
        rate_hz: to resample to.

    Yields:
        (n,) float32 in [-1, 1], `rate_hz` samples each but the last.

    Raises:
        MediaTruncatedError: it cannot be decoded after all.
        NotAudioError: it cannot be mixed after all.
    """
    waiting: list[NDArray[np.float32]] = []
    count = 0
    for part in mixer.mix(decode(path, container), 1, rate_hz):
        waiting.append(mixer.as_floats(part))
        count += len(part)
        if count >= rate_hz:
            whole = np.concatenate(waiting)
            for start in range(0, count - rate_hz + 1, rate_hz):
                yield whole[start : start + rate_hz]
            waiting = [whole[count - count % rate_hz :]]
            count %= rate_hz
    if count:
        yield np.concatenate(waiting)


def channels(path: Path, container: Container) -> int:
    """How many channels the video's sound should have: 1 if the recording begins in mono, else 2."""
    first = next(decode(path, container), None)
    return 1 if first is None or first.layout.nb_channels == 1 else 2


def sound(path: Path, container: Container, channels: int, rate_hz: int) -> Iterator[NDArray[np.int32]]:
    """Decode speech for the video's own sound.

    Args:
        path: a file that was probed.
        container: what its bytes are.
        channels: 1 or 2, of `channels`.
        rate_hz: to resample to.

    Yields:
        (n, channels) samples, full scale = 2^31.

    Raises:
        MediaTruncatedError: it cannot be decoded after all.
        NotAudioError: it cannot be mixed after all.
    """
    return mixer.mix(decode(path, container), channels, rate_hz)
