"""Compositing of rendered crops into the still portrait, with a feathered border that hides the transition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dubline.framing.crop import Square

#: Width of the border as a share of the side: hides small colour shifts of the renderer, spares chin and hair.
FEATHER: Final = 0.08


def feather(square: Square, height: int, width: int) -> NDArray[np.float32]:
    """Compute the opacity of a rendered crop at each pixel of its part inside the frame.

    Args:
        square: position of the crop.
        height: of the frame, px.
        width: of the frame, px.

    Returns:
        (h, w) in [0, 1]: 0 at the edge of the square, 1 from `FEATHER` of its side inwards. A side of the square on or
        outside the frame's edge has no border, because no still pixels adjoin it.
    """
    rows, columns = square.inside(height, width)
    down = _ramp(square.top, square.side, height)[rows.start - square.top : rows.stop - square.top]
    across = _ramp(square.left, square.side, width)[columns.start - square.left : columns.stop - square.left]
    nearest = np.minimum(down[:, None], across[None, :])
    smooth: NDArray[np.float32] = (nearest**2 * (3 - 2 * nearest)).astype(np.float32)
    return smooth


def _ramp(start: int, side: int, limit: int) -> NDArray[np.float64]:
    steps = np.arange(side, dtype=np.float64)
    width = max(1.0, FEATHER * side)
    before = steps / width if start > 0 else np.full(side, 1.0)
    after = (side - 1 - steps) / width if start + side < limit else np.full(side, 1.0)
    return np.clip(np.minimum(before, after), 0, 1)


class Compositor:
    """Composites rendered crops into one still frame.

    Args:
        frame: the still portrait, (H, W, 3) uint8.
        square: position of the crop.
        device: device of the rendered crops.
    """

    def __init__(self, frame: NDArray[np.uint8], square: Square, device: torch.device) -> None:
        self._frame = frame.copy()
        self._inside = square.inside(*frame.shape[:2])
        rows, columns = self._inside
        self._rows = slice(rows.start - square.top, rows.stop - square.top)
        self._columns = slice(columns.start - square.left, columns.stop - square.left)
        # still * (1 - alpha) + (crop + 1) * 127.5 * alpha + .5 as one multiply-add per pixel. The half turns the
        # truncation to integers into rounding.
        alpha = torch.from_numpy(feather(square, *frame.shape[:2])).to(device)
        still_part = torch.from_numpy(frame[self._inside].copy()).to(device).permute(2, 0, 1).float()
        self._slope = alpha * 127.5
        self._offset = still_part * (1 - alpha) + self._slope + 0.5

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, px."""
        height, width = self._frame.shape[:2]
        return width, height

    def frames(self, crops: Iterable[Tensor]) -> Iterator[NDArray[np.uint8]]:
        """Composite whole frames.

        Args:
            crops: batches of rendered crops, each (t, 3, side, side) in [-1, 1].

        Yields:
            (H, W, 3) uint8, one per crop. All frames share one buffer.
        """
        for batch in crops:
            for patch in self._blend(batch):
                self._frame[self._inside] = patch
                yield self._frame

    def _blend(self, crops: Tensor) -> NDArray[np.uint8]:
        """Blend crops (t, 3, side, side) with the still frame; return (t, h, w, 3) uint8."""
        visible = crops[..., self._rows, self._columns].float()
        pixels = torch.addcmul(self._offset, visible, self._slope).clamp_(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
