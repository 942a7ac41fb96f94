"""Deviation maps of motion latents by a transformer, and from them one deformation per depth plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from dubline.models.layers import ConvBlock, Modulation, WithCore, full_precision, once_per_source, upsample

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams

#: The constant under the square root in the paper's normalisation of the deviation.
EPSILON: Final = 1e-5
#: Largest displacement, in units of half the image's side.
MAX_DISPLACEMENT: Final = 0.6


class DeviationImageTransformer(nn.Module):
    """Motion latents -> R deviation maps (B, R, C, H, W) relative to the source, on the grid of the latent.

    `delta_i = (v_i - v_0) / sqrt(std^2 + 1e-5) * k_scale + k_shift` as in the paper. `std` is a running estimate over
    the training data, per value, so that the normalisation keeps the size of a movement.
    """

    std: Tensor

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        self.grid = params.latent_grid
        channels, height, width = self.grid
        self.uses_transformer = params.uses_transformer
        if self.uses_transformer:
            self.embed = nn.Linear(channels, params.deviation_width)
            self.position = nn.Parameter(torch.randn(height * width, params.deviation_width) * 0.02)
            layer = nn.TransformerEncoderLayer(
                params.deviation_width, 4, 2 * params.deviation_width, dropout=0.0, batch_first=True, norm_first=True
            )
            self.transformer = nn.TransformerEncoder(layer, params.deviation_layers, enable_nested_tensor=False)
            self.project = nn.Linear(params.deviation_width, channels)
        self.convolve = nn.Sequential(
            nn.Conv3d(1, params.regions, 3, padding=1),
            nn.SiLU(),
            nn.Conv3d(params.regions, params.regions, 3, padding=1),
        )
        shape = (params.regions, *self.grid)
        self.k_scale = nn.Parameter(torch.ones(shape))
        self.k_shift = nn.Parameter(torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def maps(self, latent: Tensor) -> Tensor:
        """Compute the unnormalised maps v (B, R, C, H, W) of a latent (B, M)."""
        # The deviation is a small difference of two such maps: its rounding to bf16 would be half a pixel.
        with full_precision(latent.device):
            latent = latent.float()
            channels, height, width = self.grid
            tokens = rearrange(latent, "b (c n) -> b n c", c=channels)
            if self.uses_transformer:
                tokens = tokens + self.project(self.transformer(self.embed(tokens) + self.position))
            image = rearrange(tokens, "b (h w) c -> b 1 c h w", h=height, w=width)
            maps: Tensor = image + self.convolve(image)
        return maps

    def forward(self, latent: Tensor, source_maps: Tensor) -> Tensor:
        """Compute deviation maps (B, R, C, H, W) of a latent (B, M) from the source's maps (B, R, C, H, W)."""
        difference = self.maps(latent) - source_maps
        if self.training:
            with torch.no_grad():
                self.std.lerp_(difference.float().square().mean(0).sqrt(), 0.01)
        return difference / torch.sqrt(self.std.square() + EPSILON) * self.k_scale + self.k_shift


class Deformation(NamedTuple):
    """How the source moves."""

    planes: Tensor
    """(B, D, 2, h, w), displacement of each depth plane, on the grid on which regions are mixed."""
    masks: Tensor
    """(B, D, h, w) in [0, 1], how far each plane may move."""
    mixed: Tensor
    """(B, 2, H/2, W/2), displacement of the visible surface: the planes weighted by their visibility. Before the
    refinement of a preset that has one: (B, 2, H/4, W/4)."""
    features: Tensor
    """(B, C, H/4, W/4), the features from which the displacements are computed."""


class DeviationDecoder(WithCore):
    """Deviation maps, feature volume and appearance code -> deformation of every depth plane.

    Each region has one displacement field; a softmax over the regions mixes them for each plane. An attention map
    gates the source's features, so that they contribute only where something moves.
    """

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        self.regions, self.planes = params.regions, params.planes
        # Half the frame's side is the finest grid on which regions are mixed.
        self.mixes_at_half = not params.refines_deformation
        first, middle, last = params.field_widths
        planar = params.planes * params.plane_channels
        self.input_block = ConvBlock(params.regions * params.latent_grid[0], first)
        self.identity = Modulation(params.appearance, first) if params.uses_appearance else None
        levels = (params.size_px // 4 // params.latent_grid[1]).bit_length() - 1
        self.up = nn.ModuleList(ConvBlock(first, first) for _ in range(levels - 1))
        self.last_up = ConvBlock(first, middle)
        self.context = nn.Conv2d(planar, middle, 1)
        self.attention = nn.Conv2d(2 * middle, 1, 3, padding=1) if params.uses_attention else None
        self.fuse = ConvBlock(middle, middle)
        self.refine = ConvBlock(middle, last)
        outputs = 2 * params.regions + params.regions * params.planes + 2 * params.planes
        self.head = nn.Conv2d(last, outputs, 3, padding=1)
        # Displacements are almost 0 at initialisation.
        nn.init.normal_(self.head.weight, std=0.01)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, deviation: Tensor, volume: Tensor, appearance: Tensor) -> Deformation:
        """Decode deviation (B, R, C, h, w), volume (B, C, D, H/4, W/4) and appearance (B, A)."""
        maps = rearrange(deviation, "b r c h w -> b (r c) h w")
        context = once_per_source(self.context, rearrange(volume, "b c d h w -> b (c d) h w"))
        outputs, motion = self.run_core(maps, context, appearance)
        return self._mix(outputs.float(), motion)

    def core(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute outputs and motion features of maps (B, R * C, h, w), context (B, C, h', w'), appearance (B, A)."""
        maps, context, appearance = inputs
        features = self.input_block(maps)
        if self.identity is not None:
            features = self.identity(features, appearance)
        # Smaller training frames need fewer of the upsampling levels.
        for block in (*self.up, self.last_up):
            features = block(upsample(features) if features.shape[-1] < context.shape[-1] else features)
        if self.attention is not None:
            context = self.attention(torch.cat([features, context], dim=1)).sigmoid() * context
        motion = self.fuse(features + context)
        features = self.refine(upsample(motion) if self.mixes_at_half else motion)
        return self.head(features), motion

    def _mix(self, outputs: Tensor, motion: Tensor) -> Deformation:
        regions, planes = self.regions, self.planes
        flows, shares, masks, visibility = outputs.split([2 * regions, regions * planes, planes, planes], dim=1)
        flows = rearrange(flows, "b (r xy) h w -> b r xy h w", xy=2).tanh() * MAX_DISPLACEMENT
        shares = rearrange(shares, "b (d r) h w -> b d r h w", d=planes).softmax(dim=2)
        # Products and sums instead of einsum, which autocast would round to an eighth of a pixel.
        moved = (shares[:, :, :, None] * flows[:, None]).sum(dim=2)
        # Masks start almost open: a closed mask passes no gradient to its displacement.
        masks = (masks + 2).sigmoid()
        weights = visibility.softmax(dim=1) * masks
        mixed = (weights[:, :, None] * moved).sum(dim=1)
        return Deformation(moved, masks, mixed, motion)
