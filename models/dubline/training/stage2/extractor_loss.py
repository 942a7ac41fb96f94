"""Loss of the articulation extractor alone: the lips of clips, near what the extractor put out before.

Without the denoiser a step costs a fraction. The denoiser is not trained, so the output has to stay near the one that
it was trained on. What determines the lip gap takes little of the output: it may change with a small distance.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dubline.models.stage2.audio_encoder import LocalExtractor
    from dubline.training.stage2.spoken_gap_head import SpokenGapHead
    from dubline.training.stage2.windows import Batch

#: Factor on the mean squared distance to the former output.
DISTANCE_WEIGHT: Final = 3.0


class ExtractorLoss:
    """Compares an extractor that is trained with the lips of windows and with what it was at the start.

    Args:
        extractor: is trained.
        gap_head: reads the lip gap of its output.
        lip_gap: (K,), reading of the lip gap of whitened motion.
    """

    def __init__(self, extractor: LocalExtractor, gap_head: SpokenGapHead, lip_gap: Tensor) -> None:
        self.extractor, self.gap_head, self.lip_gap = extractor, gap_head, lip_gap
        self.former = copy.deepcopy(extractor).requires_grad_(requires_grad=False)

    def __call__(self, batch: Batch) -> Tensor:
        """Compute the loss of a batch of windows."""
        articulation = self.extractor(batch.slices)
        with torch.no_grad():
            former = self.former(batch.slices)
        read = self.gap_head.loss(articulation, batch.clean @ self.lip_gap)
        loss: Tensor = read + DISTANCE_WEIGHT * (articulation - former).square().mean()
        return loss
