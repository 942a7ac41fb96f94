"""Varies the voice of a recording on its log-mel: gain, tone, timbre, room noise. Timing stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def augment_log_mel(mel: Tensor, random: np.random.Generator) -> Tensor:
    """Log-mel (L, BANDS) of another voice, microphone and room saying the same."""
    bands = mel.shape[1]
    # Stretching the frequency axis moves pitch and formants, as another throat would.
    stretch = 1 + 0.15 * (2 * random.random() - 1)
    position = (torch.arange(bands) * stretch).clamp(max=bands - 1)
    low = position.floor().long()
    share = position - low
    warped = mel[:, low] * (1 - share) + mel[:, (low + 1).clamp(max=bands - 1)] * share
    # A smooth random equaliser of up to 8 dB or so.
    curve = F.interpolate(torch.from_numpy(random.normal(0, 0.8, (1, 1, 5))).float(), bands, mode="linear")
    warped = warped + curve[0, 0] + float(random.normal(0, 1.0))
    # Steady noise 15 to 45 dB below the loudest frame.
    if random.random() < 0.5:  # noqa: PLR2004 - every other clip
        level = warped.max() - float(random.uniform(3.5, 10.0))
        warped = torch.logaddexp(warped, level + 0.3 * torch.randn_like(warped))
    if random.random() < 0.3:  # noqa: PLR2004 - now and then a band is missing
        start = int(random.integers(0, bands - 12))
        warped = torch.cat(
            [warped[:, :start], warped[:, start : start + 12] * 0 + warped.min(), warped[:, start + 12 :]], 1
        )
    return warped
