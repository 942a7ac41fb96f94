"""Enlargement with torch, on the device of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from dubline.models.layers import pixel_middles, resize, warp

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
        self._is_doubled = patch.is_doubled
        self._source = torch.from_numpy(patch.doubled() if patch.is_doubled else patch.source).to(device)

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor) -> NDArray[np.uint8]:
        """Enlarge a batch on the device, as `Enlarger` describes."""
        side, network = self._side, generated.shape[-1]
        moved = self._move(resize(displacement.float(), side, side))
        if side <= network:
            change = resize(generated, side, side) - moved
        else:
            change = resize(generated - resize(moved, network, network), side, side, bicubic=True)
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
