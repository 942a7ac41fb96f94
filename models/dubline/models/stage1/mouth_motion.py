"""How the pixels in and around a mouth move relative to the head.

Upper teeth stay with the head while lips and jaw move. Where a mouth opens, all pixels show the thin line between the
lips. So their motion relative to the head says how far they are from it: where teeth end and the lower lip begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

from dubline.models.layers import full_precision, shown_area

if TYPE_CHECKING:
    from torch import Tensor

#: Planes of `mouth_motion`.
PLANES: Final = 3
#: Where skin moves with the head only, above the middle of the mouth, in widths of the mouth: under the nose.
ABOVE: Final = 0.6
#: Evaluations of the displacement that find where this skin is shown. Heads turn smoothly, so the second one changes
#: little.
STEPS: Final = 4
#: Scale of the motion, for inputs of about 1, and its bound.
SCALE: Final = 3.0
BOUND: Final = 2.0
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
        (B, 3, h, w): motion in widths of the mouth, x then y, times `SCALE`; area, 1 where nothing is stretched.
    """
    with full_precision(displacement.device):
        displacement, centre, width = displacement.float(), centre.float(), width.float()
        skin = centre - width * centre.new_tensor([0, ABOVE])
        moved = torch.zeros_like(skin)
        for _ in range(STEPS):
            moved = _at(displacement, skin - moved)
        inside = displacement[..., *box]
        relative = (inside - moved[..., None, None]) / width[..., None, None]
        area = shown_area(inside, displacement.shape[-1]).clamp(*AREAS)
        return torch.cat([(SCALE * relative).clamp(-BOUND, BOUND), area], dim=1)


def _at(displacement: Tensor, place: Tensor) -> Tensor:
    """Sample a displacement at one place (B, 2) in [-1, 1] of each: (B, 2)."""
    return F.grid_sample(displacement, place[:, None, None], padding_mode="border", align_corners=False)[..., 0, 0]
