"""Recorded voices from a folder of sound files: which they are, and how they are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dubline.training.corpus import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SUFFIXES: Final = frozenset({".wav", ".flac", ".mp3", ".ogg", ".m4a"})


def joined(voices: Iterable[NDArray[np.float32]], seconds: float) -> NDArray[np.float32]:
    """Voice one after another until there are enough seconds; less when they run out."""
    wanted = round(seconds * SAMPLE_RATE_HZ)
    parts: list[NDArray[np.float32]] = []
    for voice in voices:
        if sum(map(len, parts)) >= wanted:
            break
        # Each as loud as the next: a jump in loudness is not what is measured here.
        parts.append(voice * (0.1 / max(1e-4, float(np.sqrt(np.mean(voice**2))))))
    return np.concatenate([*parts, np.empty(0, np.float32)])[:wanted].astype(np.float32)
