"""Enlargement with torch, on the device of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dubline.models.layers import resize, warp

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
        arrays = (patch.source, patch.slope, patch.offset)
        self._source, self._slope, self._offset = (
            torch.from_numpy(array).to(device).permute(2, 0, 1) for array in arrays
        )

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor) -> NDArray[np.uint8]:
        """Enlarge a batch on the device, as `Enlarger` describes."""
        side, network = self._side, generated.shape[-1]
        source = self._source.expand(len(displacement), -1, -1, -1)
        moved = warp(source, resize(displacement.float(), side, side), bicubic=True)
        if side <= network:
            change = resize(generated, side, side) - moved
        else:
            change = resize(generated - resize(moved, network, network), side, side, bicubic=True)
        pixels = (moved + resize(occlusion, side, side) * change)[..., self._rows, self._columns]
        pixels = torch.addcmul(self._offset, pixels, self._slope).round_().clamp_(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
