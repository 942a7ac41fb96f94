"""The opening between the lips: which pixels of a mouth are generated there, and which are moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

from dubline.models.stage1.mouth_motion import stretched

if TYPE_CHECKING:
    from torch import Tensor

#: Pixels beside the opening that may be generated, and side of the filter that blends them into the moved ones, in px.
BESIDE_PX: Final = 2
BLEND_PX: Final = 5
#: Share of the refined region that is between the lips from which on a mouth is open.
OPEN: Final = 0.03


def limited(occlusion: Tensor, opening: Tensor, motion: Tensor, weight: Tensor) -> Tensor:
    """Limit generated pixels to the opening, and cover all that is stretched there.

    Lips that are generated beside moved ones are a second edge, or a shadow below them. A mouth that shuts has to be
    generated.

    Args:
        occlusion: (B, 1, h, w) in [0, 1].
        opening: (B, 1, h, w) in [0, 1]: 1 between the lips.
        motion: (B, 5, h, w), of `mouth_motion`.
        weight: (B, 1, h, w), 1 in the mouth and 0 away from it.

    Returns:
        (B, 1, h, w) in [0, 1].
    """
    inside = opening * weight
    beside = smoothed(F.max_pool2d(inside, 2 * BESIDE_PX + 1, 1, BESIDE_PX), BLEND_PX)
    moved = weight * (1 - beside) * openness(opening, weight)
    return torch.maximum(occlusion * (1 - moved), inside * stretched(motion))


def openness(opening: Tensor, weight: Tensor) -> Tensor:
    """Return how open a mouth is, 0 for shut and 1 for open: (B, 1, 1, 1). Arguments as of `limited`."""
    share = (opening * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1e-6)
    return (share / OPEN).clamp(max=1)


def smoothed(plane: Tensor, side: int) -> Tensor:
    """Return means over squares of an odd side in px; beyond the borders there is nothing."""
    return F.avg_pool2d(plane, side, 1, side // 2, count_include_pad=False)
