"""One plane of the crop: its source pixels, and its part inside the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Patch:
    """What all frames of one plane have in common. C channels: 1 of luma or 2 of chroma."""

    source: NDArray[np.float32]
    """(C, side, side), contiguous: the pixels of the crop."""
    rows: slice
    """Rows of the crop that are inside the frame."""
    columns: slice
    """Columns of the crop that are inside the frame."""

    @property
    def side(self) -> int:
        """Of the crop in this plane, px."""
        side: int = self.source.shape[-1]
        return side


class Enlarger(Protocol):
    """Computes a plane of the crop at the size that it has in the frame."""

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor) -> NDArray[np.uint8]:
        """Move the source's pixels and blend in the generated ones.

        Args:
            displacement: (B, 2, h, w), x then y, in half sides.
            generated: (B, C, S, S), luma or chroma.
            occlusion: (B, 1, S, S) in [0, 1].

        Returns:
            (B, C, h, w), the part inside the frame.
        """
