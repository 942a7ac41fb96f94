"""Opacity of a rendered crop in the still frame: its border fades, which hides the transition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
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
