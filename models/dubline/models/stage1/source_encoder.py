"""Encoders of the source frame: a depth-layered feature volume, a skip level and an appearance code."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from einops import rearrange
from torch import Tensor, nn

from dubline.models.layers import ConvBlock, ResidualBlock, upsample

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams


class SourceFeatures(NamedTuple):
    """Features of the source frame."""

    volume: Tensor
    """(B, C, D, H/4, W/4)."""
    skip: Tensor
    """(B, C', H/2, W/2)."""


class VolumeRefiner(nn.Module):
    """The paper's ResNet3D, factored into a 2-D convolution of each plane and a 1 x 1 convolution across planes.

    On a CPU a dense 3-D convolution takes ten times as long.
    """

    def __init__(self, channels: int, planes: int) -> None:
        super().__init__()
        self.planes = planes
        self.within_planes = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU())
        self.across_planes = nn.Conv2d(channels * planes, channels * planes, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """Refine a volume (B, C, D, H, W)."""
        filtered = self.within_planes(rearrange(volume, "b c d h w -> (b d) c h w"))
        mixed = self.across_planes(rearrange(filtered, "(b d) c h w -> b (c d) h w", d=self.planes))
        refined: Tensor = volume + rearrange(mixed, "b (c d) h w -> b c d h w", d=self.planes)
        return refined


class Context(nn.Module):
    """Residual block at half the resolution of its input: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(channels, bottleneck, stride=2), ResidualBlock(bottleneck), nn.Conv2d(bottleneck, channels, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        return features + upsample(self.body(features))


class SourceEncoder(nn.Module):
    """Source frame (B, 3, H, W) in [-1, 1] -> feature volume with D depth planes.

    2-D features are expanded along a depth axis. Pooled over space and depth they give one weight per plane (the
    paper's hierarchical depth), which scales the refined planes.
    """

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        self.planes = params.planes
        planar = params.planes * params.plane_channels
        skip, deep = params.decoder_widths[1], params.decoder_widths[0]
        self.stem = nn.Sequential(ConvBlock(3, 32, stride=2), ConvBlock(32, skip))
        # At half the resolution a block costs a quarter and has twice the receptive field.
        last = Context(deep, params.decoder_bottleneck) if params.decoder_bottleneck else ResidualBlock(deep)
        self.body = nn.Sequential(ConvBlock(skip, deep, stride=2), ResidualBlock(deep), last)
        self.expand = nn.Conv2d(deep, planar, 1)
        self.refine = VolumeRefiner(params.plane_channels, params.planes)
        self.plane_weight = nn.Linear(params.plane_channels, params.planes)

    def forward(self, frame: Tensor) -> SourceFeatures:
        """Encode frame (B, 3, H, W)."""
        skip = self.stem(frame)
        planar = self.expand(self.body(skip))
        volume = rearrange(planar, "b (c d) h w -> b c d h w", d=self.planes)
        weight = self.plane_weight(volume.mean(dim=(2, 3, 4))).sigmoid()
        return SourceFeatures(self.refine(volume) * weight[:, None, :, None, None], skip)


class AppearanceExtractor(nn.Module):
    """Source frame (B, 3, H, W) -> appearance code (B, A): identity without pose and expression."""

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        widths = (3, *params.encoder_widths)
        self.body = nn.Sequential(
            *(ConvBlock(a, b, stride=2) for a, b in itertools.pairwise(widths)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(widths[-1], params.appearance),
        )

    def forward(self, frame: Tensor) -> Tensor:
        """Encode frame (B, 3, H, W)."""
        code: Tensor = self.body(frame)
        return code
