"""Motion encoder: pose and expression of one frame as a motion latent."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from torch import Tensor, nn

from dubline.models.layers import ConvBlock, ResidualBlock

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams


class MotionEncoder(nn.Module):
    """Frame (B, 3, H, W) in [-1, 1] -> motion latent (B, M). The same network encodes source and driving frames."""

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        widths = (3, *params.encoder_widths)
        side = params.size_px // 2 ** len(params.encoder_widths)
        last = params.motion_neck or widths[-1]
        # A full linear layer relates every value of the latent to every position; the neck limits its size.
        neck = [ResidualBlock(widths[-1]), nn.Conv2d(widths[-1], last, 1)] if params.motion_neck else []
        self.body = nn.Sequential(
            *(ConvBlock(a, b, stride=2) for a, b in itertools.pairwise(widths)),
            *neck,
            nn.Flatten(),
            nn.Linear(last * side * side, params.motion),
        )

    def forward(self, frame: Tensor) -> Tensor:
        """Encode frame (B, 3, H, W)."""
        latent: Tensor = self.body(frame)
        return latent
