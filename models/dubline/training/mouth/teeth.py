"""What a target shows between its lips, and the losses of the teeth that are drawn there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F

from dubline.models.stage1.mouth_colour import luma
from dubline.models.stage1.mouth_opening import smoothed
from dubline.models.stage1.teeth import contact_shading, light, place_in_row, presence, row_shading
from dubline.training.stage1.losses.terms import FREE_ERROR, parted_lips_mask

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage1.frame_decoder import GeneratedPixels
    from dubline.models.stage1.teeth import Teeth
    from dubline.training.mouth.samples import Samples

#: The mask of parted lips is wider than the opening by about its blur: where the opening begins and ends in it.
BETWEEN: Final = (0.6, 0.9)
#: Luma over that around the mouth, and excess of red over luma beyond that around it, at which a pixel is as likely a
#: tooth as not, and the range over which it becomes one.
TOOTH_LUMA: Final = 0.45
TOOTH_RED: Final = 0.05
RANGE: Final = 0.1
#: Gaps up to this side in px belong to teeth, because they are drawn.
CLOSED_PX: Final = 5
#: Side in px over which the brightness of teeth is averaged, and its range: beyond it something else was measured.
AVERAGED_PX: Final = 5
BRIGHTNESSES: Final = (0.3, 1.4)
#: Teeth of recordings are darker than those of portraits: .91 and 1.07 of what is around (docs/log.md).
BRIGHTER: Final = 1.1
#: Weights of the losses.
OPENING: Final = 4.0
BRIGHTNESS: Final = 4.0
COVERAGE: Final = 2.0


class VisibleTeeth(NamedTuple):
    """What targets show between the lips."""

    opening: Tensor
    """(B, 1, h, w) in [0, 1]."""
    teeth: Tensor
    """(B, 1, h, w) in [0, 1], of upper and lower teeth."""
    row: Tensor
    """(B, 1, h, w) in [0, 1], of teeth where a row is drawn."""
    brightness: Tensor
    """(B, 1, h, w), of this row, as in `Teeth`."""


def visible_teeth(samples: Samples) -> VisibleTeeth:
    """Find the teeth of targets: bright pixels between the lips that are not redder than what is around the mouth."""
    target, around = samples.target, light(samples.warped, samples.weight)
    begin, end = BETWEEN
    opening = ((parted_lips_mask(samples.landmarks, target.shape[-1]) - begin) / (end - begin)).clamp(0, 1)
    own, around_luma = luma(target).clamp_min(1e-3), luma(around - 1).clamp_min(1e-3)
    relative, red = own / around_luma, (target[:, :1] + 1) / own - around[:, :1] / around_luma
    bright, white = (relative - TOOTH_LUMA) / RANGE + 0.5, 0.5 - (red - TOOTH_RED) / RANGE
    teeth = _closed(bright.clamp(0, 1) * white.clamp(0, 1) * opening) * opening
    place = place_in_row(samples.motion, opening * samples.weight)
    row = teeth * presence(place)
    drawn = row * row_shading(place) * contact_shading(opening)
    brightness = BRIGHTER * smoothed(relative * row, AVERAGED_PX) / smoothed(drawn, AVERAGED_PX).clamp_min(1e-3)
    return VisibleTeeth(opening, teeth, row, brightness.clamp(*BRIGHTNESSES))


def teeth_losses(
    samples: Samples, generated: GeneratedPixels, teeth: Teeth, visible: VisibleTeeth, weight: Tensor
) -> dict[str, Tensor]:
    """Compute the weighted losses of what a network tells about teeth.

    Args:
        samples: the targets.
        generated: with an occlusion that must cover the moved source where it shows no teeth and the target does.
        teeth: what the network tells.
        visible: of the targets.
        weight: (B, 1, h, w), of the pixels.
    """
    opening = F.binary_cross_entropy_with_logits(teeth.logit, visible.opening, reduction="none")
    brightness = (teeth.brightness.log() - visible.brightness.log()).abs()
    off = (samples.warped - samples.target).abs().mean(dim=1, keepdim=True)
    uncovered = -generated.occlusion.clamp_min(1e-4).log() * (1 - torch.exp(-off / FREE_ERROR))
    return {
        "opening": OPENING * (weight * opening).mean(),
        "brightness": BRIGHTNESS * (weight * visible.row * brightness).mean(),
        "coverage": COVERAGE * (weight * visible.teeth * uncovered).mean(),
    }


def _closed(mask: Tensor) -> Tensor:
    """Close gaps of a mask (B, 1, h, w) in [0, 1]."""
    wide = F.max_pool2d(mask, CLOSED_PX, 1, CLOSED_PX // 2)
    return -F.max_pool2d(-wide, CLOSED_PX, 1, CLOSED_PX // 2)
