"""Loudness of a speech track: is there anything louder than its noise? In constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dubline.orchestration.domain.errors import SpeechSilentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Sample rate of the networks' input.
RATE_HZ: Final = 16_000
#: Samples of a block: 40 ms, a frame of the video.
BLOCK: Final = 640
#: RMS of the loudest block of a recording that contains only microphone noise: -54 dBFS.
SILENCE_RMS: Final = 0.002
#: RMS of the loudest block of the quietest speech: -80 dBFS, eight steps of 16 bits.
FAINTEST_RMS: Final = 0.0001
#: The loudest block of speech is so much louder than its quietest fifth. That of steady noise is by 1 dB.
STANDS_OUT_DB: Final = 6.0
_FIFTH: Final = 0.2
_LOWEST_DB: Final = -160


class Loudness:
    """Levels of the blocks of a recording, without a constant offset."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.float32)
        self._counts = np.zeros(1 - _LOWEST_DB, np.int64)
        self.loudest = 0.0

    def update(self, samples: NDArray[np.float32]) -> None:
        """Add mono samples at `RATE_HZ`, (n,) in [-1, 1]."""
        held = np.concatenate([self._held, samples])
        whole = len(held) // BLOCK * BLOCK
        self._add(held[:whole].reshape(-1, BLOCK))
        self._held = held[whole:]

    def finish(self) -> None:
        """Add the last block, which is shorter.

        Raises:
            SpeechSilentError: there is nothing louder than the noise.
        """
        if len(self._held) > BLOCK // 2 or not self._counts.any():
            self._add(self._held[None])
        if self.loudest >= SILENCE_RMS or (self.loudest >= FAINTEST_RMS and self._stands_out()):
            return
        if self.loudest < 10 ** (_LOWEST_DB / 20):
            raise SpeechSilentError
        needed = SILENCE_RMS if self.loudest >= FAINTEST_RMS else FAINTEST_RMS
        raise SpeechSilentError(
            f"The speech is too quiet: its loudest part is at {_db(self.loudest):.0f} dBFS, and no voice stands out "
            f"from the noise. Send a recording that is {_db(needed / self.loudest):.0f} dB louder or more."
        )

    def _add(self, blocks: NDArray[np.float32]) -> None:
        if not blocks.size:
            return
        waves = blocks.astype(np.float64) - blocks.mean(axis=1, keepdims=True, dtype=np.float64)
        levels = np.sqrt(np.mean(np.square(waves), axis=1))
        self.loudest = max(self.loudest, float(levels.max()))
        bins = np.floor(20 * np.log10(np.maximum(levels, 10 ** (_LOWEST_DB / 20)))).astype(int) - _LOWEST_DB
        np.add.at(self._counts, bins.clip(0, -_LOWEST_DB), 1)

    def _stands_out(self) -> bool:
        quiet = int(np.searchsorted(np.cumsum(self._counts), _FIFTH * self._counts.sum())) + _LOWEST_DB
        return _db(self.loudest) - quiet >= STANDS_OUT_DB


def _db(ratio: float) -> float:
    return float(20 * np.log10(ratio))
