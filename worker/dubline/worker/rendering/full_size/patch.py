"""One plane of the crop: its source pixels, and its part inside the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: Weights of a generated pixel and its neighbours along one axis. The rest is its finest detail, about an octave.
SMOOTHING: Final = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
#: Levels by which the moved source's finest detail may differ from the generated one that it replaces.
DETAIL: Final = 8.0
#: Levels by which smooth generated pixels differ from the moved source's where the two show something else.
SAME: Final = 40.0
#: Mean squared difference, as a share of that of `SAME`, from which something else is shown in part. From 1 on nothing
#: of the moved source is left.
OTHER: Final = 0.1
#: Side of the squares over which that difference is averaged, generated px.
AROUND_PX: Final = 7
#: Occlusion from which on the moved source is hidden whatever it shows. An open mouth stretches the line of shut lips
#: over all of its inside.
ALONE: Final = 0.9
#: Chroma differs by so much less than luma.
CHROMA_SHARE: Final = 0.5
#: Energy of detail, in squared levels, that is hardly any.
FAINT: Final = 1.0
#: Pixels on either side of a middle between two pixels that its value is interpolated from.
TAPS: Final = 4
#: Largest side of luma that is doubled, px. Doubled pixels of larger planes would need more than 23 MB, and a face of
#: that size has little detail of one pixel.
DOUBLED_MOST_PX: Final = 1_200


@dataclass(frozen=True, slots=True)
class Patch:
    """What all frames of one plane have in common. C channels: 1 of luma or 2 of chroma."""

    source: NDArray[np.float32]
    """(C, side, side), contiguous: the pixels of the crop."""
    rows: slice
    """Rows of the crop that are inside the frame."""
    columns: slice
    """Columns of the crop that are inside the frame."""
    is_luma: bool = False
    """Whether this is luma, of which the finest detail is seen: see `moved_from` and `opencv.finest_detail`."""

    @property
    def side(self) -> int:
        """Of the crop in this plane, px."""
        side: int = self.source.shape[-1]
        return side

    @property
    def scale(self) -> int:
        """Number of pixels of `moved_from` for each of the plane, along one axis."""
        return 2 if self.is_luma and self.side <= DOUBLED_MOST_PX else 1

    def moved_from(self) -> NDArray[np.float32]:
        """Return the pixels that frames sample, (C, scale * side, scale * side)."""
        return self.source if self.scale == 1 else self._doubled()

    def _doubled(self) -> NDArray[np.float32]:
        """Return the source's pixels with values between them, (C, 2 * side, 2 * side): pixel 2 * i is pixel i."""
        weights = _half_way()
        finer = np.empty((len(self.source), 2 * self.side, 2 * self.side), np.float32)
        for pixels, plane in zip(self.source, finer, strict=True):
            plane[::2, ::2] = pixels
            plane[::2, 1::2] = cv2.filter2D(pixels, -1, weights, anchor=(TAPS - 1, 0), borderType=cv2.BORDER_REPLICATE)
            plane[1::2] = cv2.filter2D(plane[::2], -1, weights.T, anchor=(0, TAPS - 1), borderType=cv2.BORDER_REPLICATE)
        return finer


class Enlarger(Protocol):
    """Computes a plane of the crop at the size that it has in the frame."""

    def __call__(self, displacement: Tensor, generated: Tensor, occlusion: Tensor, hiding: Tensor) -> NDArray[np.uint8]:
        """Move the source's pixels and blend in the generated ones.

        Args:
            displacement: (B, 2, h, w), x then y, in half sides.
            generated: (B, C, S, S), luma or chroma.
            occlusion: (B, 1, S, S) in [0, 1].
            hiding: (B, 1, S, S) in [0, 1], where detail of the source is hidden by what shows something else.

        Returns:
            (B, C, h, w), the part inside the frame.
        """


def _half_way() -> NDArray[np.float32]:
    """Return the weights of pixels for the value half a pixel after pixel `TAPS - 1`, (1, 2 * TAPS): Lanczos."""
    distance = np.arange(1 - TAPS, TAPS + 1) - 0.5
    weights = np.sinc(distance) * np.sinc(distance / TAPS)
    shares: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return shares[None]
