"""Pastes rendered crops back into the still portrait behind a soft border, so that no seam shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dubline.framing.crop import Square

#: Wide enough to hide the renderer's small shifts of tone, narrow enough to leave chin and hair alone.
FEATHER: Final = 0.08


def feather(square: Square, height: int, width: int) -> NDArray[np.float32]:
    """How much of a rendered crop shows at each pixel of the part of it that lies inside the frame.

    Args:
        square: where the crop sits.
        height: of the frame, px.
        width: of the frame, px.

    Returns:
        (h, w) in [0, 1]: 0 on the square's own border, 1 from `FEATHER` of its side inwards. Sides that lie
        on or over the frame's edge have no border: nothing beyond them needs to be matched.
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
    """Holds the still frame, and what is needed to replace the animated square in it.

    Args:
        frame: the still portrait, (H, W, 3) uint8.
        square: where the crop was cut.
        device: where the rendered crops will be.
    """

    def __init__(self, frame: NDArray[np.uint8], square: Square, device: torch.device) -> None:
        self._frame = frame.copy()
        self._inside = square.inside(*frame.shape[:2])
        rows, columns = self._inside
        self._rows = slice(rows.start - square.top, rows.stop - square.top)
        self._columns = slice(columns.start - square.left, columns.stop - square.left)
        # still * (1 - alpha) + (crop + 1) * 127.5 * alpha + .5 as one multiplication and addition per
        # pixel; the half makes the cut to integers a rounding.
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
        """Compose whole frames.

        Args:
            crops: batches of rendered crops, each (t, 3, side, side) in [-1, 1].

        Yields:
            (H, W, 3) uint8, one per crop, in one buffer that the next frame overwrites.
        """
        for batch in crops:
            for patch in self._blend(batch):
                self._frame[self._inside] = patch
                yield self._frame

    def _blend(self, crops: Tensor) -> NDArray[np.uint8]:
        """Mix crops (t, 3, side, side) with the still picture below; returns (t, h, w, 3) uint8."""
        seen = crops[..., self._rows, self._columns].float()
        pixels = torch.addcmul(self._offset, seen, self._slope).clamp_(0, 255).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
