"""Augments the voice of a recording on its log-mel: gain, spectral tilt, formants, noise. Timing is unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def augment_log_mel(mel: Tensor, random: np.random.Generator) -> Tensor:
    """Augment a log-mel (L, BANDS): another voice, microphone and room with the same words."""
    bands = mel.shape[1]
    # Stretching the frequency axis shifts pitch and formants, as another vocal tract does.
    stretch = 1 + 0.15 * (2 * random.random() - 1)
    position = (torch.arange(bands) * stretch).clamp(max=bands - 1)
    low = position.floor().long()
    share = position - low
    warped = mel[:, low] * (1 - share) + mel[:, (low + 1).clamp(max=bands - 1)] * share
    # A smooth random equaliser of up to about 8 dB.
    curve = F.interpolate(torch.from_numpy(random.normal(0, 0.8, (1, 1, 5))).float(), bands, mode="linear")
    warped = warped + curve[0, 0] + float(random.normal(0, 1.0))
    # Stationary noise 15 to 45 dB below the loudest frame.
    if random.random() < 0.5:  # noqa: PLR2004 - every other window
        level = warped.max() - float(random.uniform(3.5, 10.0))
        warped = torch.logaddexp(warped, level + 0.3 * torch.randn_like(warped))
    if random.random() < 0.3:  # noqa: PLR2004 - share of windows with a missing band
        start = int(random.integers(0, bands - 12))
        warped = torch.cat(
            [warped[:, :start], warped[:, start : start + 12] * 0 + warped.min(), warped[:, start + 12 :]], 1
        )
    return warped
