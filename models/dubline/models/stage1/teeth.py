"""Upper teeth: a row that stays with the head, drawn where the mouth-eye refiner sees an opening between the lips.

A network that generates teeth of mouths that are shut in the source gives the mean of all that may be there: a grey
slab. So it tells where the lips are open and how bright teeth are, and the row itself is drawn.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import torch

from dubline.models.stage1 import mouth_motion
from dubline.models.stage1.mouth_colour import luma
from dubline.models.stage1.mouth_opening import openness, smoothed

if TYPE_CHECKING:
    from torch import Tensor

#: Planes of a network's output that `Teeth.read` converts.
PLANES: Final = 2
#: Gaps between teeth on one side of the midline, in widths of the mouth: crowns of 8.5, 6.5, 7.5 and 7 mm (Nelson,
#: Wheeler's Dental Anatomy), seen from the front on their arch, in a mouth of 50 mm.
GAPS: Final = (0.0, 0.168, 0.285, 0.385, 0.455)
#: Standard deviation of a gap in widths of the mouth, and how much darker it is.
GAP_WIDTH: Final = 0.018
GAP_DEPTH: Final = 0.25
#: The row is darker by this share at `HALF_ROW`, where cheeks shade it.
SHADED: Final = 0.6
HALF_ROW: Final = 0.5
#: Where incisors end below the line of the shut lips, in widths of the mouth: .12 in the median of recordings
#: (docs/log.md).
EDGE: Final = 0.11
#: The edge is higher by this at `HALF_ROW`, and by this at the sides of each tooth; and half the width of its blur.
SMILE: Final = 0.05
ROUNDED: Final = 0.03
SOFT: Final = 0.015
#: Spread, in widths of the mouth, of the middle part in which the upper lip of the source is looked for.
MIDDLE: Final = 0.2
#: Excess of a colour in teeth over luma, as a share of that in the skin and lips around them.
TINT: Final = 0.35
#: The output at which an opening is as likely as not. Older weights give 0, which means none.
LIKELY: Final = 4.0
#: Brightness over that of what is around for an output of 0; logarithm of the largest change of it; and side of the
#: filter that smooths it, in px.
BRIGHTNESS: Final = 1.0
BRIGHTNESS_CHANGE: Final = 0.7
SMOOTH_PX: Final = 15
#: Lips shade teeth up to this share, within half of this side in px.
CONTACT: Final = 0.35
CONTACT_PX: Final = 7


class Teeth(NamedTuple):
    """What a network tells about the teeth in a mouth's box."""

    logit: Tensor
    """(B, 1, h, w), of the probability that a pixel is between the lips."""
    brightness: Tensor
    """(B, 1, h, w), luma over that of the moved source around the mouth."""

    @classmethod
    def read(cls, outputs: Tensor) -> Teeth:
        """Convert outputs (B, PLANES, h, w) of a network."""
        logit, brightness = outputs.split(1, dim=1)
        change = BRIGHTNESS_CHANGE * smoothed(brightness, SMOOTH_PX).tanh()
        return cls(logit - LIKELY, BRIGHTNESS * change.exp())

    @property
    def opening(self) -> Tensor:
        """(B, 1, h, w) in [0, 1]: 1 between the lips."""
        return (self.logit + 0.5).clamp(0, 1)


def drawn(generated: Tensor, teeth: Teeth, motion: Tensor, around: Tensor, weight: Tensor) -> Tensor:
    """Draw teeth over generated colours.

    Args:
        generated: (B, 3, h, w), RGB in [-1, 1].
        teeth: where they can be seen, and how bright.
        motion: (B, 5, h, w), of `mouth_motion`.
        around: (B, 3, h, w), the moved source in the range of `generated`.
        weight: (B, 1, h, w), 1 in the mouth and 0 away from it.

    Returns:
        (B, 3, h, w).
    """
    colour = light(around, weight)
    grey, opening = luma(colour - 1), teeth.opening * weight
    place = place_in_row(motion, opening)
    shading = row_shading(place) * contact_shading(opening)
    row = (grey + TINT * (colour - grey)) * teeth.brightness * shading - 1
    # Lips that are hardly parted show no teeth.
    visible = opening * presence(place) * openness(teeth.opening, weight)
    return generated + visible * (row - generated)


def light(around: Tensor, weight: Tensor) -> Tensor:
    """Return the mean colour (B, 3, 1, 1) around a mouth, in [0, 2]; arguments as of `drawn`."""
    return ((around + 1) * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1e-6)


def place_in_row(motion: Tensor, opening: Tensor) -> Tensor:
    """Return the place of pixels between the lips, in the frame of the teeth.

    The middle of a mouth is not known well enough. But pixels between lips that are shut in the source all show the
    line of the shut lips, so their motion relative to the head is their distance from it. Of lips that are parted in
    the source it is the upper one that counts.

    Args:
        motion: (B, 5, h, w), of `mouth_motion`.
        opening: (B, 1, h, w) in [0, 1], 1 between the lips.

    Returns:
        (B, 2, h, w), in widths of the mouth: x from the midline, y below the edge of the resting upper lip.
    """
    x, y = mouth_motion.place(motion).split(1, dim=1)
    shown = mouth_motion.shown_place(motion)[:, 1:]
    near = opening.square() * torch.exp(-(x / MIDDLE).square() / 2)
    share = near / near.sum((2, 3), keepdim=True).clamp_min(1e-6)
    mean = (share * shown).sum((2, 3), keepdim=True)
    spread = (share * (shown - mean).square()).sum((2, 3), keepdim=True).sqrt()
    return torch.cat([x, y - mean + math.sqrt(3) * spread], dim=1)


def row_shading(place: Tensor) -> Tensor:
    """Return the brightness (B, 1, h, w) of a row of teeth at places (B, 2, h, w): 1 in the middle of an incisor."""
    distance = place[:, :1].abs()
    gaps = torch.stack([torch.exp(-((distance - gap) / GAP_WIDTH).square() / 2) for gap in GAPS]).amax(0)
    return (1 - GAP_DEPTH * gaps) * (1 - SHADED * _outwards(distance))


def contact_shading(opening: Tensor) -> Tensor:
    """Return the brightness (B, 1, h, w) that lips leave to what is between them: 1 away from them."""
    return 1 - CONTACT * (2 - 2 * smoothed(opening, CONTACT_PX)).clamp(0, 1)


def presence(place: Tensor) -> Tensor:
    """Return where a row of teeth covers places (B, 2, h, w): (B, 1, h, w) in [0, 1]."""
    distance = place[:, :1].abs()
    sides = torch.zeros_like(distance)
    for left, right in pairwise(GAPS):
        across = (2 * distance - left - right) / (right - left)
        sides = sides + (across.abs() < 1) * across.square().square()
    edge = EDGE - SMILE * _outwards(distance) - ROUNDED * sides
    return (0.5 + (edge - place[:, 1:]) / (2 * SOFT)).clamp(0, 1)


def _outwards(distance: Tensor) -> Tensor:
    return (distance / HALF_ROW).clamp(max=1).square()
