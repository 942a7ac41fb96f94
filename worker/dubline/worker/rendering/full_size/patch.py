"""One plane of the crop: its source pixels, its part inside the frame, and how it fades into the still frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Patch:
    """What all frames of one plane have in common. C channels: 1 of luma or 2 of chroma."""

    source: NDArray[np.float32]
    """(side, side, C), the pixels of the crop."""
    rows: slice
    """Rows of the crop that are inside the frame."""
    columns: slice
    """Columns of the crop that are inside the frame."""
    slope: NDArray[np.float32]
    """(h, w, 1), opacity of the crop."""
    offset: NDArray[np.float32]
    """(h, w, C), what the still frame contributes."""

    @classmethod
    def of(
        cls,
        source: NDArray[np.float32],
        still: NDArray[np.float32],
        opacity: NDArray[np.float32],
        rows: slice,
        columns: slice,
    ) -> Self:
        """Prepare one plane.

        Args:
            source: (side, side, C), the pixels of the crop.
            still: (h, w, C), the still frame inside the crop.
            opacity: in [0, 1], at the size of the luma plane.
            rows: of the crop that are inside the frame.
            columns: of the crop that are inside the frame.
        """
        slope = cv2.resize(opacity, still.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
        return cls(source, rows, columns, slope, still * (1 - slope))

    @property
    def side(self) -> int:
        """Of the crop in this plane, px."""
        side: int = self.source.shape[0]
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
            (B, h, w, C), the part inside the frame.
        """
