"""Warps the source's features by a deformation and generates the pixels that warping cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dubline.models.layers import ConvBlock, Modulation, ResidualBlock, WithCore, resize, upsample, warp

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams
    from dubline.models.stage1.deviation import Deformation
    from dubline.models.stage1.source_encoder import SourceFeatures

#: The occlusion mask starts almost closed: before training the warped source is the better picture.
OCCLUSION_BIAS: Final = -2.0


class GeneratedPixels(NamedTuple):
    """Generated colour and its occlusion mask."""

    colour: Tensor
    """(B, 3, H, W) in [-1, 1]."""
    occlusion: Tensor
    """(B, 1, H, W) in [0, 1]: 1 shows the generated colour, 0 the warped source."""


class Hourglass(nn.Module):
    """Residual block at half the resolution of its input, conditioned on motion: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, bottleneck: int, motion: int) -> None:
        super().__init__()
        self.down = ConvBlock(channels, bottleneck, stride=2)
        self.motion = Modulation(motion, bottleneck)
        self.body = nn.Sequential(ResidualBlock(bottleneck), nn.SiLU(), ResidualBlock(bottleneck), nn.SiLU())
        self.up = nn.Conv2d(bottleneck, channels, 1)

    def forward(self, features: Tensor, motion: Tensor) -> Tensor:
        """Refine features (B, C, H, W) by motion (B, M)."""
        refined: Tensor = features + upsample(self.up(self.body(self.motion(self.down(features), motion))))
        return refined


class FrameDecoder(WithCore):
    """Source features, deformation and motion -> colour and occlusion mask.

    The paper blends the warped and the unmoved volume by the plane masks and decodes RGB. This decoder also gives an
    occlusion mask, so that all other pixels are the source's own, at their own resolution.
    """

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        deep, shallow = params.decoder_widths
        planar = params.planes * params.plane_channels
        self.activation = nn.PReLU(planar)
        self.uses_deformation_features = params.refines_deformation
        self.hourglass = None
        if params.decoder_bottleneck:
            self.hourglass = Hourglass(deep, params.decoder_bottleneck, params.motion)
        # Features of the deformation refiner locate what moves.
        seen = params.field_widths[2] if params.refines_deformation else 0
        self.input_block = ConvBlock(planar + seen, deep)
        self.motion = Modulation(params.motion, deep)
        self.body = nn.Identity() if self.hourglass else nn.Sequential(ResidualBlock(deep), nn.SiLU())
        self.up = ConvBlock(deep, shallow)
        self.merge = ConvBlock(2 * shallow + 12, shallow)
        self.fine_motion = Modulation(params.motion, shallow)
        self.output = nn.Sequential(
            ConvBlock(shallow, shallow), nn.Conv2d(shallow, 16, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(
        self, source: SourceFeatures, warped_frame: Tensor, deformation: Deformation, motion: Tensor
    ) -> GeneratedPixels:
        """Decode colour and occlusion mask.

        Args:
            source: the source's features, repeated to B.
            warped_frame: (B, 3, H, W), the source frame moved by the mixed deformation.
            deformation: of the source volume and frame.
            motion: (B, M), the latent relative to the source's.
        """
        blended = self._blend(source.volume, deformation)
        skip = warp(source.skip, deformation.mixed)
        seen = F.pixel_unshuffle(warped_frame, 2)
        located = [deformation.features] if self.uses_deformation_features else []
        (outputs,) = self.run_core(blended, skip, seen, motion, *located)
        # Slices of the outputs would have no layout that activations are fast in.
        colour, occlusion = (part.contiguous() for part in outputs.float().split([3, 1], dim=1))
        return GeneratedPixels(colour.tanh(), (occlusion + OCCLUSION_BIAS).sigmoid())

    def core(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute colour and occlusion before their bounds (B, 4, H, W).

        Args:
            inputs: blended volume, warped skip level and warped frame, each with its channels, motion (B, M), and
                features of the deformation if this decoder uses them.
        """
        blended, skip, seen, motion, *located = inputs
        features = torch.cat([self.activation(blended), *located], dim=1)
        features = self.motion(self.input_block(features), motion)
        if self.hourglass is not None:
            features = self.hourglass(features, motion)
        features = self.up(upsample(self.body(features)))
        features = self.fine_motion(self.merge(torch.cat([features, skip, seen], dim=1)), motion)
        return (self.output(features),)

    @staticmethod
    def _blend(volume: Tensor, deformation: Deformation) -> Tensor:
        """Compute `phi_m = mask * warp(phi) + (1 - mask) * phi` with planes as channels: (B, C * D, H/4, W/4)."""
        batch, _, _, height, width = volume.shape
        planes = rearrange(volume, "b c d h w -> (b d) c h w")
        moves = resize(rearrange(deformation.planes, "b d xy h w -> (b d) xy h w"), height, width)
        masks = rearrange(resize(deformation.masks, height, width), "b d h w -> (b d) 1 h w").to(volume.dtype)
        blended = masks * warp(planes, moves) + (1 - masks) * planes
        return rearrange(blended, "(b d) c h w -> b (c d) h w", b=batch)
