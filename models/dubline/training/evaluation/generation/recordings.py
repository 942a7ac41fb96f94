"""Reads and concatenates recorded voices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dubline.training.corpus import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SUFFIXES: Final = frozenset({".wav", ".flac", ".mp3", ".ogg", ".m4a"})


def joined(voices: Iterable[NDArray[np.float32]], seconds: float) -> NDArray[np.float32]:
    """Concatenate voices up to a length; shorter if they end before."""
    wanted = round(seconds * SAMPLE_RATE_HZ)
    parts: list[NDArray[np.float32]] = []
    for voice in voices:
        if sum(map(len, parts)) >= wanted:
            break
        # Equal loudness: a change of loudness is not what is measured.
        parts.append(voice * (0.1 / max(1e-4, float(np.sqrt(np.mean(voice**2))))))
    return np.concatenate([*parts, np.empty(0, np.float32)])[:wanted].astype(np.float32)
