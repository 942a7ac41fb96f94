"""Streams a speech track to the networks: mono 16 kHz samples, a second at a time, however long it is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dubline.worker.container import Container
from dubline.worker.track import as_floats, decode, mono


def samples(path: Path, container: Container, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """Decodes speech once from start to end; call it again for another pass.

    Args:
        path: a file that was probed.
        container: what its bytes are.
        rate_hz: to resample to.

    Yields:
        (n,) float32 in [-1, 1], `rate_hz` samples each but the last.

    Raises:
        MediaTruncatedError: it cannot be decoded after all.
    """
    resampler = mono(rate_hz)
    waiting: list[NDArray[np.float32]] = []
    count = 0
    for frame in decode(path, container):
        # Samples follow one another whatever the file's clock says.
        frame.pts = None
        for part in resampler.resample(frame):
            waiting.append(as_floats(part))
            count += len(waiting[-1])
        if count >= rate_hz:
            whole = np.concatenate(waiting)
            for start in range(0, count - rate_hz + 1, rate_hz):
                yield whole[start : start + rate_hz]
            waiting = [whole[count - count % rate_hz :]]
            count %= rate_hz
    waiting += [as_floats(part) for part in resampler.resample(None)]
    rest = np.concatenate(waiting) if waiting else np.zeros(0, np.float32)
    if len(rest):
        yield rest
