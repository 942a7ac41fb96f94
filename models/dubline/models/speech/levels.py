"""Loudness of speech: of the whole recording, gated as in ITU-R BS.1770, and of each part that is much quieter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from dubline.models.stage2.log_mel import Loudness

if TYPE_CHECKING:
    from dubline.models.speech.segments import Segment

_DB: Final = math.log(10) / 10
#: Log-mel frames of a gating block: 400 ms.
BLOCK: Final = 40
#: Blocks that are so much quieter than the mean of all do not count.
RELATIVE_GATE: Final = 10 * _DB
#: The level is what one counted frame in ten exceeds.
PERCENTILE: Final = 0.9
#: A part may be so much quieter than the recording before its level is lowered: less is expression.
TOLERATED: Final = 10 * _DB
#: Largest amount by which the level of a part is lowered.
LOWERED: Final = 40 * _DB
#: Log-mel frames on either side in which the loudest block is the level of a part.
NEAR: Final = 60
#: Log-mel frames over which the level is smoothed.
SMOOTH: Final = 31
#: Log energy of a sine 87 dB below full scale: quieter speech is not amplified further.
QUIETEST: Final = Loudness.SILENCE - 40 * _DB


def levels(energy: Tensor, found: list[Segment]) -> Tensor:
    """Compute the level of each log-mel frame.

    Args:
        energy: (L,), log energies of the frames of a recording.
        found: its segments of speech; without any the whole recording counts.

    Returns:
        (L,), log energies of the loud parts.
    """
    blocks = _blocks(energy)
    counted = torch.zeros(len(energy), dtype=torch.bool)
    for start, stop in found:
        counted[start:stop] = True
    if not found:
        counted[:] = True
    gated = counted & (blocks >= _mean(blocks[counted]) - RELATIVE_GATE)
    level = float(energy[gated].quantile(PERCENTILE))
    lowest = QUIETEST if found else Loudness.SILENCE
    return (level + _corrections(blocks, found, _mean(blocks[gated]))).clamp(min=lowest)


def _corrections(blocks: Tensor, found: list[Segment], mean: float) -> Tensor:
    """Return by how much the level of each frame is lowered, (L,), at most 0."""
    corrections = torch.zeros(len(blocks))
    for start, stop in found:
        part = F.max_pool1d(blocks[None, start:stop], 2 * NEAR + 1, stride=1, padding=NEAR)[0]
        corrections[start:stop] = (part - mean + TOLERATED).clamp(-LOWERED, 0)
    padded = F.pad(corrections[None], (SMOOTH // 2, SMOOTH // 2), mode="replicate")
    return F.avg_pool1d(padded, SMOOTH, stride=1)[0]


def _blocks(energy: Tensor) -> Tensor:
    """Return the log mean energy of the block around each frame."""
    before, after = BLOCK // 2, BLOCK - 1 - BLOCK // 2
    padded = F.pad(energy.exp()[None], (before, after))
    return F.avg_pool1d(padded, BLOCK, stride=1)[0].clamp(min=1e-12).log()


def _mean(logs: Tensor) -> float:
    return float(logs.exp().mean().log())
