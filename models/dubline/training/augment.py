"""Random views of training frames: one camera for a pair, other colours for the frame that only lends its motion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# A crop around a found face is never exactly framed as the corpus is.
ZOOM, SHIFT, TILT_RAD = 0.15, 0.1, 0.1


def random_cameras(batch: int, generator: torch.Generator) -> Tensor:
    """Random small zooms, tilts and shifts: (B, 2, 3), output coordinates -> input coordinates in [-1, 1]."""
    zoom = 1 + ZOOM * (2 * torch.rand(batch, generator=generator) - 1)
    tilt = TILT_RAD * (2 * torch.rand(batch, generator=generator) - 1)
    shift = SHIFT * (2 * torch.rand(batch, 2, generator=generator) - 1)
    cos, sin = zoom * tilt.cos(), zoom * tilt.sin()
    return torch.stack([torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1)


def view(frames: Tensor, cameras: Tensor) -> Tensor:
    """Frames (B, 3, H, W) as seen by cameras (B, 2, 3)."""
    grid = F.affine_grid(cameras, list(frames.shape), align_corners=False)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=False)


def project(points: Tensor, cameras: Tensor) -> Tensor:
    """Points (B, P, 2) in [-1, 1] of the unseen frame -> where cameras (B, 2, 3) put them."""
    rotation, shift = cameras[:, :, :2], cameras[:, :, 2]
    seen: Tensor = torch.linalg.solve(rotation, (points - shift[:, None]).mT).mT
    return seen


def random_colours(batch: int, generator: torch.Generator) -> Tensor:
    """Random gain and offset of every channel: (B, 2, 3, 1, 1)."""
    gain = 1 + 0.25 * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain = gain * (1 + 0.25 * (2 * torch.rand(batch, 1, generator=generator) - 1))
    offset = 0.15 * (2 * torch.rand(batch, 3, generator=generator) - 1)
    return torch.stack([gain, offset], 1)[..., None, None]


def recolour(frames: Tensor, colours: Tensor) -> Tensor:
    """Apply gains and offsets (B, 2, 3, 1, 1) to frames (B, 3, H, W) in [-1, 1]."""
    return (frames * colours[:, 0] + colours[:, 1]).clamp(-1, 1)
