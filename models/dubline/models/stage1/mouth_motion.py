"""How the pixels in and around a mouth move relative to the head.

Upper teeth stay with the head while lips and jaw move. Where a mouth opens, all pixels show the thin line between the
lips. So their motion relative to the head says how far they are from it: where teeth end and the lower lip begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

from dubline.models.layers import full_precision, pixel_middles, shown_area

if TYPE_CHECKING:
    from torch import Tensor

#: Planes of `mouth_motion`.
PLANES: Final = 5
#: Where skin moves with the head only, above the middle of the mouth, in widths of the mouth: under the nose.
ABOVE: Final = 0.6
#: Evaluations of the displacement that find where this skin is shown. Heads turn smoothly, so the second one changes
#: little.
STEPS: Final = 4
#: Scale of the motion, for inputs of about 1, and its bound.
SCALE: Final = 3.0
BOUND: Final = 2.0
#: Areas at which pixels between lips begin to be stretched, and at which they are.
STRETCHED: Final = (0.8, 0.5)
#: Bound of the place, in widths of the mouth.
FARTHEST: Final = 1.5
#: Bounds of the area: mirrored pixels, and pixels that show more than they cover.
AREAS: Final = (-0.5, 1.5)


def mouth_motion(displacement: Tensor, box: tuple[slice, slice], centre: Tensor, width: Tensor) -> Tensor:
    """Compute the motion relative to the head and the area of the source that a pixel shows.

    Args:
        displacement: (B, 2, S, S), x then y, in half sides.
        box: rows and columns to compute.
        centre: (B, 2), middle of the source's mouth in [-1, 1].
        width: (B, 1), of the source's mouth, in half sides.

    Returns:
        (B, 5, h, w): motion in widths of the mouth, x then y, times `SCALE`; area, 1 where nothing is stretched; place
        in the head's frame, x then y, in widths of the mouth from the middle of the source's.
    """
    with full_precision(displacement.device):
        displacement, centre, width = displacement.float(), centre.float(), width.float()
        skin = centre - width * centre.new_tensor([0, ABOVE])
        moved = torch.zeros_like(skin)
        for _ in range(STEPS):
            moved = _at(displacement, skin - moved)
        side, inside = displacement.shape[-1], displacement[..., *box]
        relative = (inside - moved[..., None, None]) / width[..., None, None]
        area = shown_area(inside, side).clamp(*AREAS)
        rest = pixel_middles(side, side, displacement.device)[:, *box] + (moved - centre)[..., None, None]
        place = (rest / width[..., None, None]).clamp(-FARTHEST, FARTHEST)
        return torch.cat([(SCALE * relative).clamp(-BOUND, BOUND), area, place], dim=1)


def _at(displacement: Tensor, place: Tensor) -> Tensor:
    """Sample a displacement at one place (B, 2) in [-1, 1] of each: (B, 2)."""
    return F.grid_sample(displacement, place[:, None, None], padding_mode="border", align_corners=False)[..., 0, 0]


def place(planes: Tensor) -> Tensor:
    """Return the place of pixels in the head's frame.

    Args:
        planes: (B, 5, h, w), of `mouth_motion`.

    Returns:
        (B, 2, h, w), x then y, in widths of the mouth from the middle of the source's mouth.
    """
    return planes[:, 3:5]


def shown_place(planes: Tensor) -> Tensor:
    """Return the place in the source of what pixels show; arguments and result as of `place`."""
    return planes[:, 3:5] + planes[:, :2] / SCALE


def stretched(planes: Tensor) -> Tensor:
    """Return how far pixels show stretched ones, of `mouth_motion`: (B, 1, h, w) in [0, 1]."""
    begin, end = STRETCHED
    return ((begin - planes[:, 2:3]) / (begin - end)).clamp(0, 1)
