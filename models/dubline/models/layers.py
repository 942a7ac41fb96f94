"""Small building blocks that several networks share."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

GROUPS: Final = 8


class ConvBlock(nn.Sequential):
    """Convolution, group norm, SiLU: (B, C, H, W) -> (B, C', H/stride, W/stride)."""

    def __init__(self, channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out_channels, 3, stride, padding=1),
            nn.GroupNorm(GROUPS, out_channels),
            nn.SiLU(),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut: (B, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Refine features (B, C, H, W)."""
        refined: Tensor = features + self.body(features)
        return refined


class Modulation(nn.Module):
    """Scale and shift of every channel, read from a vector (FiLM): starts as the identity."""

    def __init__(self, vector: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(vector, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        """Modulate features (B, C, H, W) by vector (B, V)."""
        scale, shift = self.linear(vector)[..., None, None].chunk(2, dim=1)
        modulated: Tensor = features * (1 + scale) + shift
        return modulated


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Leave autocast, on devices that have it (the meta device, where costs are counted, has none)."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def upsample(features: Tensor, factor: int = 2) -> Tensor:
    """Enlarge (B, C, H, W) by repeating pixels; a convolution is expected to follow."""
    return F.interpolate(features, scale_factor=factor, mode="nearest")


def resize(image: Tensor, height: int, width: int, *, bicubic: bool = False) -> Tensor:
    """Resample (B, C, h, w) to (B, C, height, width): bilinear, antialiased when it shrinks.

    Sharply is bicubic, for a picture that people see; it may leave the image's range a little.
    """
    if image.shape[-2:] == (height, width):
        return image
    mode, shrinks = "bicubic" if bicubic else "bilinear", height < image.shape[-2]
    return F.interpolate(image, (height, width), mode=mode, align_corners=False, antialias=shrinks)


def warp(
    image: Tensor, displacement: Tensor, box: tuple[slice, slice] | None = None, *, bicubic: bool = False
) -> Tensor:
    """Sample an image where a displacement points.

    Args:
        image: (B, C, H, W).
        displacement: (B, 2, H, W), x then y, in units of half the image's side: output pixel p shows
            the input at p + displacement. What lies outside is the nearest edge pixel.
        box: rows and columns of the output, when the displacement is given only for these; else all.
        bicubic: bicubic for a picture that people see, which may leave the image's range a little; bilinear takes the
            finest detail away from whatever moves by half a pixel.

    Returns:
        (B, C, H, W), or the box of it.
    """
    height, width = image.shape[-2:]
    ys = (torch.arange(height, device=image.device, dtype=torch.float32) * 2 + 1) / height - 1
    xs = (torch.arange(width, device=image.device, dtype=torch.float32) * 2 + 1) / width - 1
    if box is not None:
        rows, columns = box
        ys, xs = ys[rows], xs[columns]
    base = torch.stack(torch.meshgrid(xs, ys, indexing="xy"))
    grid = (base + displacement.float()).permute(0, 2, 3, 1)
    mode = "bicubic" if bicubic else "bilinear"
    return F.grid_sample(image.float(), grid, mode, padding_mode="border", align_corners=False).to(image.dtype)
