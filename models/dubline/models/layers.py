"""Building blocks that several networks share."""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

GROUPS: Final = 8
#: Sizes of images for which the middles of pixels are kept.
KEPT: Final = 16
#: Largest of their sides: at full size the middles of a close-up take 40 MB.
KEPT_PX: Final = 512


class Core(Protocol):
    """The convolutions of a network between its warps, computed by another library: tensors of a batch to tensors."""

    size_bytes: int
    """Memory of its weights, in all processes that compute it."""

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of one batch."""


class WithCore(nn.Module):
    """A network whose convolutions are in `core`, a function of tensors only, which another library may compute."""

    compiled: Core | None = None
    """Computes `core` faster, for inference at the preset's sides."""

    def core(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of one batch."""
        raise NotImplementedError

    def run_core(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of one batch, by the other library if there is one."""
        return self.core(*inputs) if self.compiled is None else self.compiled(*inputs)


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
    """Scale and shift of every channel, computed from a vector (FiLM); the identity at initialisation."""

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
    """Disable autocast inside the context.

    The meta device, on which costs are counted, has no autocast.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def once_per_source(function: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Apply a function to the features (B, ...) of sources; those of one source that is repeated only once.

    Args:
        function: computes each item of the batch alone.
        features: of B sources, or of one that `expand` repeats.
    """
    if features.stride(0) != 0:
        return function(features)
    computed = function(features[:1])
    return computed.expand(len(features), *computed.shape[1:])


def upsample(features: Tensor, factor: int = 2) -> Tensor:
    """Enlarge (B, C, H, W) by repeating pixels; a convolution should follow."""
    return F.interpolate(features, scale_factor=factor, mode="nearest")


def resize(image: Tensor, height: int, width: int, *, bicubic: bool = False) -> Tensor:
    """Resample (B, C, h, w) to (B, C, height, width), antialiased when it shrinks.

    Args:
        image: (B, C, h, w).
        height: of the result.
        width: of the result.
        bicubic: sharper than bilinear, for pictures that are shown; may exceed the image's range slightly.
    """
    if image.shape[-2:] == (height, width):
        return image
    mode, shrinks = "bicubic" if bicubic else "bilinear", height < image.shape[-2]
    # One channel at a time: of three, torch's kernel for one thread changes the layout twice.
    planes = image.flatten(0, 1)[:, None]
    resized = F.interpolate(planes, (height, width), mode=mode, align_corners=False, antialias=shrinks)
    return resized.view(*image.shape[:2], height, width)


def pixel_middles(height: int, width: int, device: torch.device) -> Tensor:
    """Return the middles of an image's pixels, (2, height, width): x then y, in half sides from the image's middle.

    Those of sides of the networks are kept, so they must not be written to.
    """
    return (_kept_middles if max(height, width) <= KEPT_PX else _middles)(height, width, device)


def _middles(height: int, width: int, device: torch.device) -> Tensor:
    # Tensors of inference mode cannot be used in training.
    with torch.inference_mode(mode=False):
        ys, xs = (
            (torch.arange(side, device=device, dtype=torch.float32) * 2 + 1) / side - 1 for side in (height, width)
        )
        return torch.stack(torch.meshgrid(xs, ys, indexing="xy"))


_kept_middles = lru_cache(KEPT)(_middles)


def warp(
    image: Tensor, displacement: Tensor, box: tuple[slice, slice] | None = None, *, bicubic: bool = False
) -> Tensor:
    """Sample an image at displaced positions.

    Args:
        image: (B, C, H, W).
        displacement: (B, 2, H, W), x then y, in units of half the image's side: output pixel p is the input at
            p + displacement. Positions outside the image take the nearest edge pixel.
        box: rows and columns of the output if the displacement covers only these; otherwise all.
        bicubic: for pictures that are shown; may exceed the image's range slightly. Bilinear sampling removes the
            finest detail where the displacement is half a pixel.

    Returns:
        (B, C, H, W), or the box of it.
    """
    height, width = image.shape[-2:]
    base = pixel_middles(height, width, image.device)
    if box is not None:
        base = base[:, *box]
    grid = (base + displacement.float()).permute(0, 2, 3, 1)
    mode = "bicubic" if bicubic else "bilinear"
    return F.grid_sample(image.float(), grid, mode, padding_mode="border", align_corners=False).to(image.dtype)


def shown_area(displacement: Tensor, side: int) -> Tensor:
    """Return the area of the source that each pixel shows, in pixels, below 0 where it is mirrored: (B, 1, h, w).

    Args:
        displacement: (B, 2, h, w), x then y, in half sides.
        side: of the whole field.
    """
    (x_down, x_across), (y_down, y_across) = (
        torch.gradient(axis, spacing=2 / side, dim=(1, 2)) for axis in displacement.unbind(1)
    )
    return ((1 + x_across) * (1 + y_down) - x_down * y_across)[:, None]
