"""How far the source's pixels are stretched where they move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.models.layers import shown_area

if TYPE_CHECKING:
    from torch import Tensor

#: Area of the source that a pixel shows, in pixels, from which on it is not stretched, and up to which it is wholly so.
WHOLE: Final = 0.6
STRETCHED: Final = 0.3


def stretched(displacement: Tensor) -> Tensor:
    """Return where moved pixels are stretched so far that their detail becomes streaks.

    Args:
        displacement: (B, 2, h, h), x then y, in half sides.

    Returns:
        (B, 1, h, h) in [0, 1]. A picture that is mirrored counts as stretched.
    """
    area = shown_area(displacement.float(), displacement.shape[-1])
    share = ((WHOLE - area) / (WHOLE - STRETCHED)).clamp(0, 1)
    return share.square() * (3 - 2 * share)
