"""Enlargement with torch, on the device of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from dubline.models.layers import pixel_middles, resize, warp
from dubline.worker.rendering.full_size.patch import (
    ALONE,
    AROUND_PX,
    CHROMA_SHARE,
    DETAIL,
    FAINT,
    OTHER,
    SAME,
    SMOOTHING,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dubline.worker.rendering.full_size.patch import Patch


class TorchEnlarger:
    """Enlarges one plane, a batch at once. Only finished pixels leave the device.

    Args:
        patch: the plane.
        device: of the networks.
    """

    def __init__(self, patch: Patch, device: torch.device) -> None:
        self._rows, self._columns, self._side = patch.rows, patch.columns, patch.side
        self._is_luma, self._is_doubled = patch.is_luma, patch.scale > 1
        self._source = torch.from_numpy(patch.moved_from()).to(device)

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor, hiding: Tensor) -> NDArray[np.uint8]:
        """Enlarge a batch on the device, as `Enlarger` describes."""
        side, network = self._side, generated.shape[-1]
        moved = self._move(resize(displacement.float(), side, side))
        if side <= network:
            change = resize(generated, side, side) - moved
        else:
            small = resize(moved, network, network)
            hidden = hiding * other(generated, small, SAME if self._is_luma else SAME * CHROMA_SHARE)
            kept, all_hidden = finest_detail(generated, small) if self._is_luma else generated, alone(occlusion)
            hidden, kept = torch.maximum(hidden, all_hidden), generated + (1 - all_hidden) * (kept - generated)
            change = resize(kept - (1 - hidden) * small, side, side, bicubic=True)
            change = change - resize(hidden, side, side, bicubic=True) * moved
        pixels = (moved + resize(occlusion, side, side) * change)[..., self._rows, self._columns]
        pixels = pixels.round().clamp_(0, 255).to(torch.uint8)
        return to_host(pixels.contiguous())

    def _move(self, displacement: Tensor) -> Tensor:
        """Move the source's pixels by (B, 2, side, side)."""
        source = self._source.expand(len(displacement), -1, -1, -1)
        if not self._is_doubled:
            return warp(source, displacement, bicubic=True)
        # Of two pixels the first has the middle of the one that they are made of.
        grid = pixel_middles(self._side, self._side, source.device) + displacement - 0.5 / self._side
        return functional.grid_sample(
            source, grid.permute(0, 2, 3, 1), "bicubic", padding_mode="border", align_corners=False
        )


def finest_detail(generated: Tensor, moved: Tensor) -> Tensor:
    """Return generated luma with the moved source's finest detail, as `opencv.finest_detail` does: (B, 1, S, S)."""
    smooth, smooth_moved = _smooth(generated), _smooth(moved)
    detail, detail_moved = generated - smooth, moved - smooth_moved
    energy = detail_moved.square()
    share = energy / (energy + detail.square() + FAINT)
    share = share * (1 - ((smooth - smooth_moved) / SAME).square()).clamp_min(0)
    return generated + (share * (detail_moved - detail)).clamp(-DETAIL, DETAIL)


def alone(occlusion: Tensor) -> Tensor:
    """Return where nothing of the moved source is left, as `opencv.alone` does: (B, 1, S, S)."""
    return ((occlusion - ALONE) / (1 - ALONE)).clamp(0, 1)


def other(generated: Tensor, moved: Tensor, same: float) -> Tensor:
    """Return how far generated pixels show something else than the moved source, as `opencv.other` does."""
    margin = AROUND_PX // 2
    energy = functional.pad(((generated - moved) / same).square(), (margin, margin, margin, margin), "reflect")
    share = ((functional.avg_pool2d(energy, AROUND_PX, 1) - OTHER) / (1 - OTHER)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _smooth(luma: Tensor) -> Tensor:
    """Smooth (B, 1, S, S)."""
    weights, reach = luma.new_tensor(SMOOTHING), len(SMOOTHING) // 2
    padded = functional.pad(luma, (reach, reach, reach, reach), "reflect")
    return functional.conv2d(functional.conv2d(padded, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))


def to_host(pixels: Tensor) -> NDArray[np.uint8]:
    """Copy pixels to the host and wait for this copy alone.

    From a GPU they go to page-locked memory, which it writes itself; torch keeps that memory for the next batch.
    """
    if pixels.device.type != "cuda":
        return pixels.cpu().numpy()
    host = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=True).copy_(pixels, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(pixels.device))
    copied.synchronize()
    return host.numpy()
