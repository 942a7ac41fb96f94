"""Colour of generated pixels in a mouth: teeth and tongue are not green in the light that skin shows, and not yellow.

On portraits that are dark or hardly coloured the networks generate greenish teeth, on others yellowish ones, and olive
shade beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

#: Weights of red, green and blue in luma (ITU-R BT.709).
LUMA: Final = (0.2126, 0.7152, 0.0722)
#: Least excess of red over luma, as a share of luma. The brighter third of the inside of a mouth has .24 in the median
#: of 233 frames of rendered clips, and .07 in the twentieth part of them that is least red (docs/log.md).
LEAST: Final = 0.1
#: The same as a share of the excess of what is around it: in coloured light all is less red. There the
#: median is .85.
SHARE: Final = 0.5
#: Largest lack of blue in teeth, as a share of that of what is around them. In two portraits that show
#: their teeth it is .45.
YELLOW: Final = 0.5
#: Luma over that of what is around them: pixels up to the first are black, from the second on their yellow is lowered.
#: Teeth are bright, but insides that are in shade become olive, too.
DARK: Final = 0.05
BRIGHT: Final = 0.25
#: Pixels that are redder than what is around them by this share of luma are lips.
LIPS: Final = 0.15


def reddened(generated: Tensor, around: Tensor, weight: Tensor) -> Tensor:
    """Raise the red of pixels that are greener than a mouth can be; luma and blue stay.

    Args:
        generated: (B, 3, h, w), RGB in [-1, 1].
        around: (B, 3, h, w), the moved source in the same range.
        weight: (B, 1, h, w), 1 in the mouth and 0 away from it.

    Returns:
        (B, 3, h, w).
    """
    own = luma(generated)
    shown, all_luma = ((part * weight).sum((2, 3), keepdim=True) for part in (around[:, :1] + 1, luma(around)))
    excess = shown / all_luma.clamp_min(1e-6) - 1
    least = (SHARE * excess).clamp(0, LEAST)
    missing = ((1 + least) * own - (generated[:, :1] + 1)).clamp_min(0) * weight * (least > 0)
    red, green, _ = LUMA
    return generated + missing * generated.new_tensor([1, -red / green, 0])[:, None, None]


def whitened(generated: Tensor, around: Tensor, weight: Tensor) -> Tensor:
    """Lower the yellow of teeth and shade where skin is yellower; luma stays. Arguments and result as of `reddened`."""
    own = luma(generated).clamp_min(1e-6)
    shown, red_around, blue_around = (
        (part * weight).sum((2, 3), keepdim=True).clamp_min(1e-6)
        for part in (luma(around), around[:, :1] + 1, around[:, 2:] + 1)
    )
    lack = 1 - blue_around / shown
    middle = shown / weight.sum((2, 3), keepdim=True).clamp_min(1e-6)
    bright = ((own / middle - DARK) / (BRIGHT - DARK)).clamp(0, 1)
    redder = (generated[:, :1] + 1) / own - red_around / shown
    missing = ((1 - YELLOW * lack) * own - (generated[:, 2:] + 1)).clamp_min(0) * (lack > 0)
    missing = missing * weight * bright * (1 - redder / LIPS).clamp(0, 1)
    red, green, blue = LUMA
    others = -blue / (red + green)
    return generated + missing * generated.new_tensor([others, others, 1])[:, None, None]


def luma(colour: Tensor) -> Tensor:
    """Compute the luma of a colour (B, 3, h, w) in [-1, 1]: (B, 1, h, w), in [0, 2]."""
    return ((colour + 1) * colour.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
