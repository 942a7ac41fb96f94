"""The speech front end: 80-band log-mel frames at 100 Hz from a stream of samples, in constant memory."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 16_000
BANDS: Final = 80
HOP: Final = 160
WINDOW: Final = 400
FFT: Final = 512
#: Zeros before the first sample, so that mel frame i is centred on samples 160 i to 160 i + 160.
LEAD: Final = (WINDOW - HOP) // 2
FLOOR: Final = 1e-8
#: Range of band energies below the loud parts of the recording (natural logarithm of power): 50 dB.
RANGE: Final = 11.5


@cache
def _filters() -> Tensor:
    """Compute triangular filters on the mel scale, 20 Hz to 7.6 kHz: (FFT / 2 + 1, BANDS)."""

    def mel(hz: float) -> float:
        return 2595 * float(np.log10(1 + hz / 700))

    edges_hz = 700 * (10 ** (np.linspace(mel(20), mel(7600), BANDS + 2) / 2595) - 1)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, FFT // 2 + 1)[:, None]
    rising = (bins_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz) / np.diff(edges_hz)[1:]
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling))).float()


def _frames(samples: Tensor) -> Tensor:
    """Compute log-mel (L, BANDS) of samples (S,), one frame per full window, without padding."""
    windows = samples.unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW)
    power = torch.fft.rfft(windows, FFT).abs().square()
    mel: Tensor = (power @ _filters() + FLOOR).log()
    return mel


def stream_log_mel(chunks: Iterable[NDArray[np.float32]], frames: int, *, block: int = 1000) -> Iterator[Tensor]:
    """Compute log-mel frames of a stream of samples.

    Args:
        chunks: mono samples at 16 kHz in [-1, 1], in chunks of any length.
        frames: number of mel frames to yield. The stream is padded with silence or truncated to that length.
        block: largest number of mel frames per yielded chunk.

    Yields:
        (at most `block`, BANDS), `frames` in total. The values do not depend on the lengths of the input chunks.
    """
    held = np.zeros(LEAD, np.float32)
    enough = WINDOW + (block - 1) * HOP
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while len(held) >= enough and frames > 0:
            mel = _frames(torch.from_numpy(held[:enough]))[:frames]
            held, frames = held[block * HOP :], frames - len(mel)
            yield mel
        if frames == 0:
            return
    while frames > 0:
        count = min(block, frames)
        needed = WINDOW + (count - 1) * HOP
        padded = np.pad(held, (0, max(0, needed - len(held))))
        yield _frames(torch.from_numpy(padded[:needed]))
        held, frames = held[count * HOP :], frames - count


class Loudness:
    """Level of the loud parts of a recording, by a running histogram: constant memory, independent of the chunks."""

    BINS, LOW, STEP = 400, -20.0, 0.1
    # Log energy of a sine 47 dB below full scale. A recording without louder parts is silence, not quiet speech.
    SILENCE = -1.0

    def __init__(self) -> None:
        self.counts = torch.zeros(self.BINS, dtype=torch.int64)

    def update(self, mel: Tensor) -> None:
        """Add log-mel frames (L, BANDS) to the histogram."""
        energy = mel.logsumexp(dim=-1)
        index = ((energy - self.LOW) / self.STEP).long().clamp(0, self.BINS - 1)
        self.counts += torch.bincount(index, minlength=self.BINS)

    @property
    def level(self) -> float:
        """Log energy that one frame in ten exceeds, at least that of silence."""
        cumulative = self.counts.cumsum(0)
        return max(self.SILENCE, self.LOW + self.STEP * int((cumulative < 0.9 * cumulative[-1]).sum()))


def normalise(mel: Tensor, level: float | Tensor) -> Tensor:
    """Scale log-mel (L, BANDS) to about [-1, 1], independent of the recording's gain; -1 is silence.

    Args:
        mel: log-mel.
        level: log energy of the loud parts, of the recording or of each frame, (L, 1).
    """
    quiet = level - np.log(BANDS) - RANGE
    normal: Tensor = ((mel - quiet) / RANGE).clamp(0, 2) * 1.5 - 1
    return normal
