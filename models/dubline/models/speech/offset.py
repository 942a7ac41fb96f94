"""Removal of a constant offset from a stream of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

#: Samples whose mean is taken at once: 100 ms at 16 kHz, several periods of a voice.
BLOCK: Final = 1600
#: Blocks after which the offset has followed a change to 63 %: two seconds.
FOLLOWS: Final = 20


def without_offset(chunks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Subtract the mean of the samples so far, which slowly follows changes.

    Args:
        chunks: mono samples at 16 kHz in [-1, 1], in chunks of any length.

    Yields:
        The same samples in other chunks; the values do not depend on the lengths of the input chunks.
    """
    held, offset, blocks = np.zeros(0, np.float32), np.float32(0), 0
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while len(held) >= BLOCK:
            blocks = min(blocks + 1, FOLLOWS)
            offset += (held[:BLOCK].mean() - offset) / np.float32(blocks)
            yield held[:BLOCK] - offset
            held = held[BLOCK:]
    if len(held):
        yield held - (offset if blocks else held.mean())
