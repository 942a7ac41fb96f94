"""Refinement of a coarse deformation by the warped source features, for lips and lids that part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from dubline.models.layers import (
    ConvBlock,
    Modulation,
    ResidualBlock,
    WithCore,
    once_per_source,
    resize,
    upsample,
    warp,
)
from dubline.models.stage1.deviation import Deformation

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams
    from dubline.models.stage1.source_encoder import SourceFeatures

#: Largest refinement, in units of half the image's side: more than a lower lip moves relative to the jaw.
MAX_DISPLACEMENT: Final = 0.15


class DeformationRefiner(WithCore):
    """Deformation, source features and motion -> deformation at half the frame's side, with parted lips and lids.

    The regions are mixed from features at their position in the source. In a turned head they are elsewhere, and an
    edge as thin as the line between closed lips can only be located at its own position. So the features are warped by
    the coarse deformation first, and the refinement is computed from the warped features.
    """

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        _, coarse, width = params.field_widths
        skip = params.decoder_widths[1]
        self.context = nn.Conv2d(params.planes * params.plane_channels, width, 1)
        self.input_block = ConvBlock(coarse + width, width)
        self.motion = Modulation(params.motion, width)
        self.body = nn.Sequential(ResidualBlock(width), nn.SiLU())
        self.up = nn.Conv2d(width, skip, 1)
        self.fine = ConvBlock(skip, skip)
        self.fine_motion = Modulation(params.motion, skip)
        self.head = nn.Conv2d(skip, 2, 3, padding=1)
        # The refinement is almost 0 at initialisation.
        nn.init.normal_(self.head.weight, std=0.01)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, coarse: Deformation, source: SourceFeatures, motion: Tensor) -> Deformation:
        """Refine a deformation.

        Args:
            coarse: the mixed regions; its features are (B, C, H/4, W/4).
            source: the source's features, repeated to B.
            motion: (B, M), the latent relative to the source's.

        Returns:
            The deformation with `mixed` at (H/2, W/2), `planes` at (H/4, W/4) and features at their new positions.
        """
        context = once_per_source(self.context, source.volume.flatten(1, 2))
        height, width = context.shape[-2:]
        context = warp(context, resize(coarse.mixed, height, width))
        height, width = source.skip.shape[-2:]
        mixed = resize(coarse.mixed, height, width)
        detail, features = self.run_core(coarse.features, context, warp(source.skip, mixed), motion)
        detail = detail.float().tanh() * MAX_DISPLACEMENT
        height, width = coarse.planes.shape[-2:]
        planes = coarse.planes + resize(detail, height, width)[:, None]
        return Deformation(planes, coarse.masks, mixed + detail, features)

    def core(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the detail before its bound, and features, of coarse and warped features and motion (B, M)."""
        coarse, context, skip, motion = inputs
        features = self.motion(self.input_block(torch.cat([coarse, context], dim=1)), motion)
        features = self.body(features)
        fine = self.fine(upsample(self.up(features)) + skip)
        return self.head(self.fine_motion(fine, motion)), features
