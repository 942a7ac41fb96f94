"""Patch discriminator of crops of mouths."""

from __future__ import annotations

from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Channels after each convolution that halves the picture.
WIDTHS: Final = (48, 96, 160)
#: Luma of a crop, and the mask of what is seen between the lips.
CHANNELS: Final = 2
SLOPE: Final = 0.2


class Discriminator(nn.Module):
    """Classifies patches of about 60 px: crops (B, CHANNELS, H, W) -> logits (B, 1, H/8, W/8), positive for real.

    Without spectral norm, which kept an earlier one at chance (ADR 0068).
    """

    def __init__(self) -> None:
        super().__init__()
        halving = zip((CHANNELS, *WIDTHS), WIDTHS, strict=False)
        layers = [nn.Conv2d(before, after, 4, 2, padding=1) for before, after in halving]
        layers.append(nn.Conv2d(WIDTHS[-1], WIDTHS[-1], 3, padding=1))
        self.head = nn.Conv2d(WIDTHS[-1], 1, 3, padding=1)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(cast("Tensor", layer.bias))
        self.layers = nn.ModuleList(layers)

    def forward(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and the features of each layer, fine to coarse."""
        features, seen = crops.contiguous(memory_format=torch.channels_last), []
        for layer in self.layers:
            features = F.leaky_relu(layer(features), SLOPE)
            seen.append(features)
        return self.head(features), seen
