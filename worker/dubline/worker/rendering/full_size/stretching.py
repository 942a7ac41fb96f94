"""How far the source's pixels are stretched where they move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Area of the source that a pixel shows, in pixels, from which on it is not stretched, and up to which it is wholly so.
WHOLE: Final = 0.6
STRETCHED: Final = 0.3


def stretched(displacement: Tensor) -> Tensor:
    """Return where moved pixels are stretched so far that their detail becomes streaks.

    Args:
        displacement: (B, 2, h, w), x then y, in half sides.

    Returns:
        (B, 1, h, w) in [0, 1]. A picture that is mirrored counts as stretched.
    """
    height, width = displacement.shape[-2:]
    spacing = (2 / height, 2 / width)
    (x_down, x_across), (y_down, y_across) = (
        torch.gradient(axis, spacing=spacing, dim=(1, 2)) for axis in displacement.float().unbind(1)
    )
    area = (1 + x_across) * (1 + y_down) - x_down * y_across
    share = ((WHOLE - area) / (WHOLE - STRETCHED)).clamp(0, 1)
    return (share.square() * (3 - 2 * share))[:, None]
