"""Noise in a recording: a floor that follows the sound without speech, and pauses that are made quiet.

Both act on noise that would be taken for speech only: the networks know the noise of a quiet room.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from dubline.models.stage2.log_mel import BANDS, FLOOR

_DB: Final = math.log(10) / 10
#: Power that is subtracted, as a multiple of the floor: noise fluctuates.
SUBTRACTED: Final = 3.0
#: Nothing is subtracted of a floor that is so far below the level of the speech, and all of one that is 10 dB higher.
QUIET_FLOOR: Final = 40 * _DB
FULL_FLOOR: Final = 30 * _DB
#: Largest reduction of a band by the subtraction.
REDUCED: Final = 12 * _DB
#: Frames without speech are reduced to this distance from the level; `silence` counts them as silent.
PAUSE: Final = 30 * _DB
#: Log-mel frames without speech after which the floor has followed a change to 63 %: one second.
FOLLOWS: Final = 100


class NoiseFloor:
    """Subtracts a noise floor that slowly follows the frames without speech; independent of the chunks.

    Before the first frame without speech nothing is subtracted.
    """

    def __init__(self) -> None:
        self._power = torch.zeros(BANDS)
        self._known = 0

    def subtract(self, mel: Tensor, voice: Tensor, level: Tensor) -> Tensor:
        """Return log-mel without the noise.

        Args:
            mel: (L, BANDS), the next frames of the recording.
            voice: (L,), weight of speech in each.
            level: (L,), level of the speech.
        """
        power, floors = mel.exp(), self._floors(mel.exp(), voice)
        below = level - floors.sum(-1).clamp(min=FLOOR).log()
        share = ((QUIET_FLOOR - below) / (QUIET_FLOOR - FULL_FLOOR)).clamp(0, 1)
        left = (power - SUBTRACTED * share[:, None] * floors).clamp(min=FLOOR).log()
        return torch.maximum(left, mel - REDUCED)

    def _floors(self, power: Tensor, voice: Tensor) -> Tensor:
        floors = torch.empty_like(power)
        for number, weight in enumerate((1 - voice).tolist()):
            if weight == 1:
                self._known = min(self._known + 1, FOLLOWS)
                self._power = self._power + (power[number] - self._power) / self._known
            # A floor of a moment only may be the end of a word.
            floors[number] = self._power * (self._known / FOLLOWS)
        return floors


def quieten(mel: Tensor, voice: Tensor, level: Tensor) -> Tensor:
    """Reduce frames without speech that are louder than `PAUSE` below the level; arguments as for `subtract`."""
    excess = (mel.logsumexp(-1) - level + PAUSE).clamp(min=0)
    return mel - ((1 - voice) * excess)[:, None]
