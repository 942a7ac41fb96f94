"""Refines a coarse deformation where the source's own features say that lips and lids part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from dubline.models.layers import ConvBlock, Modulation, ResidualBlock, resize, upsample, warp
from dubline.models.stage1.deviation import Deformation

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams
    from dubline.models.stage1.source_encoder import SourceFeatures

#: In units of half the image's side: a lower lip travels no further against the jaw that the regions move.
REACH: Final = 0.15


class DeformationRefiner(nn.Module):
    """Deformation, source features and motion -> the deformation at half the frame's side, with parted lips and lids.

    The regions are mixed from the source's features where the source has them; a turned head has them elsewhere, and
    an edge as fine as a mouth's seam can only be found where it is. So the features are first moved by the coarse
    deformation, and what is still missing is read off them there.
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
        # Nothing is refined at first.
        nn.init.normal_(self.head.weight, std=0.01)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, coarse: Deformation, source: SourceFeatures, motion: Tensor) -> Deformation:
        """Refine.

        Args:
            coarse: of the regions' mixture; its features are (B, C, H/4, W/4).
            source: the source's features, repeated to B.
            motion: (B, M), the latent relative to the source's.

        Returns:
            The mixed displacement at (H/2, W/2), the planes' at (H/4, W/4), features where things have moved to.
        """
        context = self.context(source.volume.flatten(1, 2))
        height, width = context.shape[-2:]
        context = warp(context, resize(coarse.mixed, height, width))
        features = self.motion(self.input_block(torch.cat([coarse.features, context], dim=1)), motion)
        features = self.body(features)
        height, width = source.skip.shape[-2:]
        mixed = resize(coarse.mixed, height, width)
        fine = self.fine(upsample(self.up(features)) + warp(source.skip, mixed))
        detail = self.head(self.fine_motion(fine, motion)).float().tanh() * REACH
        height, width = coarse.planes.shape[-2:]
        planes = coarse.planes + resize(detail, height, width)[:, None]
        return Deformation(planes, coarse.masks, mixed + detail, features)
