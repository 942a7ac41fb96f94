"""Losses that give motion regions and depth planes distinct roles; without them all of them learn the same motion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dubline.training.stage1.data.exact_geometry import BACKGROUND

if TYPE_CHECKING:
    from dubline.models.stage1.deviation import DeviationDecoder
    from dubline.training.stage1.data.exact_geometry import DensePair

#: Depths beyond these shares of the foreground's pixels belong to the first and the last plane of the foreground.
NEAREST: Final = 0.02
FARTHEST: Final = 0.98


class Mixing(NamedTuple):
    """How the deviation decoder mixes regions and planes at each pixel."""

    shares: Tensor
    """(B, D, R, h, w), share of each region in each plane's motion; the sum over R is 1."""
    visibility: Tensor
    """(B, D, h, w), logits of the plane that is seen."""


def mixing_of(decoder: DeviationDecoder, outputs: Tensor) -> Mixing:
    """Split the outputs of the deviation decoder's last layer (B, ·, h, w)."""
    regions, planes = decoder.regions, decoder.planes
    _, shares, _, visibility = outputs.float().split([2 * regions, regions * planes, planes, planes], dim=1)
    return Mixing(shares.unflatten(1, (planes, regions)).softmax(dim=2), visibility)


def region_loss(mixing: Mixing) -> Tensor:
    """Let each pixel follow few regions, while all regions are followed somewhere.

    Returns:
        Mean entropy of the shares of a pixel, plus what the entropy of the mean shares lacks; 0 to 2: 1 for uniform
        shares, 0 if each pixel follows one region and all regions are followed by equally many pixels.
    """
    most = math.log(mixing.shares.shape[2])
    each = _entropy(mixing.shares, dim=2).mean()
    used = _entropy(mixing.shares.mean(dim=(0, 1, 3, 4)), dim=0)
    return (each + most - used) / most


def plane_loss(mixing: Mixing, pair: DensePair) -> Tensor:
    """Supervise which plane is seen by depth: the foreground in equal steps of depth, the background in the last plane.

    Args:
        mixing: of the driving frames.
        pair: the driving frames with depth; 0 where it is unknown.

    Returns:
        Mean cross-entropy where depth is known; 0 without any.
    """
    planes, height, width = mixing.visibility.shape[1:]
    index, known = (
        F.interpolate(values.float(), (height, width), mode="nearest")[:, 0] for values in plane_index(pair, planes)
    )
    loss = F.cross_entropy(mixing.visibility, index.long(), reduction="none")
    return (loss * known).sum() / known.sum().clamp_min(1)


def plane_index(pair: DensePair, planes: int) -> tuple[Tensor, Tensor]:
    """Return the plane of each pixel (B, 1, S, S) by its depth, nearest first, and where it is known."""
    background = pair.parts == BACKGROUND
    recorded = (pair.weight + pair.hidden) > 0
    foreground = recorded & ~background & (pair.depth > 0)
    index = torch.full_like(pair.depth, planes - 1)
    for row, depth, where in zip(index, pair.depth, foreground, strict=True):
        if where.any():
            near, far = torch.quantile(depth[where], depth.new_tensor([NEAREST, FARTHEST]))
            share = ((depth[where] - near) / (far - near).clamp_min(1e-3)).clamp(0, 1)
            row[where] = (share * (planes - 1)).floor().clamp(max=planes - 2)
    # Without any depth the background is not known either: the file has none.
    measured = foreground.flatten(1).any(1)[:, None, None, None]
    return index, (foreground | (recorded & background)) & measured


def _entropy(shares: Tensor, dim: int) -> Tensor:
    return -(shares * shares.clamp_min(1e-8).log()).sum(dim)
