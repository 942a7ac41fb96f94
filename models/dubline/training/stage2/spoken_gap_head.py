"""Auxiliary reading of the lip gap, so that the articulation extractor's output determines the lips linearly.

Inference holds the lips at such a reading (`dubline.training.spoken_gap` fits the one that is released). The denoising
loss alone teaches it poorly: the denoiser can learn lips from noise, source and previous frames too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch.nn.functional as F

from dubline.training.stage2.auxiliary_head import AuxiliaryHead

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Smallest standard deviation of a window's gap, in the units of the readings (cm), by which its errors are divided.
LEAST_SPREAD_CM: Final = 0.1


class SpokenGapHead(AuxiliaryHead):
    """Reads the lip gap of a frame.

    Args:
        width: of the articulation extractor's output.
        device: of the batches.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__(width, 1, device)

    def loss(self, articulation: Tensor, gap: Tensor) -> Tensor:
        """Compute the error of the gap, both sides centred per window; `step` follows its gradient.

        Errors are in standard deviations of the window. Below one they are squared, above it they count linearly:
        windows whose sound does not fit the lips have the largest ones.

        Args:
            articulation: (B, P + T, W), of a window and the previous frames, which are left out.
            gap: (B, T), relative to the source's, in cm.
        """
        read = self.head(articulation[:, -gap.shape[1] :]).float()[..., 0]
        spread = gap.std(1, keepdim=True).clamp_min(LEAST_SPREAD_CM)
        wanted = gap - gap.mean(1, keepdim=True)
        loss: Tensor = 2 * F.smooth_l1_loss((read - read.mean(1, keepdim=True)) / spread, wanted / spread)
        return loss
