"""Silence gating: a weight for each video frame, computed from the normalised log-mel."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.log_mel import BANDS, RANGE

#: Frame energy relative to the loud parts (natural logarithm of power). The weight is 1 from 27 dB below, 0 from 22 dB.
SILENT: Final = -6.2
AUDIBLE: Final = -5.0
#: Frames within this distance of sound are not silent: people part their lips before they speak, and close them a while
#: after (docs/log.md). The shortest pause is three fifths of a second.
MARGIN_FRAMES: Final = 7
#: Frames on either side over which the weight is smoothed.
RAMP_FRAMES: Final = 3


def silence(mel: Tensor) -> Tensor:
    """Compute the weight of silence, (B, T) from 0 to 1 and continuous, of normalised log-mel (B, 4 T, BANDS).

    A frame's weight depends on ten frames on either side; frames outside count as silent.
    """
    energy = ((mel + 1) * (RANGE / 1.5)).logsumexp(dim=-1) - (RANGE + float(np.log(BANDS)))
    loudest = F.max_pool1d(energy, MEL_PER_FRAME)
    quiet = ((AUDIBLE - loudest) / (AUDIBLE - SILENT)).clamp(0, 1)
    quiet = -F.max_pool1d(F.pad(-quiet, (MARGIN_FRAMES, MARGIN_FRAMES), value=-1.0), 2 * MARGIN_FRAMES + 1, stride=1)
    ramp = torch.hann_window(2 * RAMP_FRAMES + 3, periodic=False, device=mel.device)[1:-1]
    padded = F.pad(quiet, (RAMP_FRAMES, RAMP_FRAMES), value=1.0)
    return F.conv1d(padded[:, None], (ramp / ramp.sum())[None, None])[:, 0].clamp(0, 1)
