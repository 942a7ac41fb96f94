"""Where a recording is silent, from its normalised log-mel: a weight for each video frame."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.log_mel import BANDS, RANGE

#: Frame energy over that of the loud parts (natural logarithm of power): silent 27 dB below, not at all at 22 dB.
SILENT: Final = -6.2
HEARD: Final = -5.0
#: Sound this many frames away is near: a stop's closure is no pause. Pauses of a third of a second are the shortest.
NEAR_FRAMES: Final = 3
#: Over how many frames on either side silence comes and goes.
EASE_FRAMES: Final = 3


def silence(mel: Tensor) -> Tensor:
    """Normalised log-mel (B, 4 T, BANDS) -> how silent each frame is, (B, T) from 0 to 1, without steps.

    A frame's weight depends on the six frames on either side alone; what lies outside counts as silent.
    """
    energy = ((mel + 1) * (RANGE / 1.5)).logsumexp(dim=-1) - (RANGE + float(np.log(BANDS)))
    loudest = F.max_pool1d(energy, MEL_PER_FRAME)
    quiet = ((HEARD - loudest) / (HEARD - SILENT)).clamp(0, 1)
    quiet = -F.max_pool1d(F.pad(-quiet, (NEAR_FRAMES, NEAR_FRAMES), value=-1.0), 2 * NEAR_FRAMES + 1, stride=1)
    ease = torch.hann_window(2 * EASE_FRAMES + 3, periodic=False, device=mel.device)[1:-1]
    padded = F.pad(quiet, (EASE_FRAMES, EASE_FRAMES), value=1.0)
    return F.conv1d(padded[:, None], (ease / ease.sum())[None, None])[:, 0].clamp(0, 1)
