"""Registers the lips of driving frames to those that the deformation shows.

The deformation opens lips less or further than the driving frame, by a few pixels. A part that generates the lips of
such a frame generates a second lower lip beside the moved one: a red shadow below it, or a pale ring inside of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

from dubline.models.layers import pixel_middles
from dubline.training.stage1.losses.registration import shown_at

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.training.stage1.data.pairs import Pairs

#: Multi-PIE landmarks of the outer lips. Where a mouth opens, all pixels between the lips show the thin line of shut
#: ones, so the deformation does not tell where inner lips are.
OUTER_LIPS: Final = slice(48, 60)
#: Steps that find where a point is moved to.
STEPS: Final = 4
#: Largest motion of a lip, in half sides: more is an error of the measurement.
MOST: Final = 0.08
#: Spread of the motion around a landmark, in widths of the mouth, and what it is compared with away from all of them.
SPREAD: Final = 0.2
AWAY: Final = 0.1


def register_lips(pairs: Pairs, displacement: Tensor) -> Pairs:
    """Move the lips of driving frames, and their landmarks, to where a rendering shows those of the source.

    Args:
        pairs: registered as a whole; frames without known landmarks stay unchanged.
        displacement: (N, 2, H, W), x then y, in half sides: the mixed deformation of the rendering.
    """
    lips = pairs.driving_landmarks[:, OUTER_LIPS]
    shown = shown_at(displacement.float(), pairs.source_landmarks[:, OUTER_LIPS], lips)
    motion = (lips - shown).clamp(-MOST, MOST) * pairs.landmarks_known[:, None, None]
    side = pairs.driving.shape[-1]
    middles = pixel_middles(side, side, displacement.device)
    grid = middles.flatten(1).mT.expand(len(lips), -1, -1)
    places = (grid + spread(motion, lips - motion, grid)).unflatten(1, (side, side))
    driving = F.grid_sample(pairs.driving, places, "bicubic", padding_mode="border", align_corners=False)
    points = pairs.driving_landmarks
    for _ in range(STEPS):
        points = pairs.driving_landmarks - spread(motion, lips - motion, points)
    return pairs._replace(driving=driving.clamp(-1, 1), driving_landmarks=points)


def spread(motion: Tensor, of: Tensor, places: Tensor) -> Tensor:
    """Interpolate the motion of landmarks by Gaussians; it falls to 0 away from them.

    Args:
        motion: (N, P, 2).
        of: (N, P, 2), the landmarks.
        places: (N, Q, 2).

    Returns:
        (N, Q, 2).
    """
    width = (of.amax(1) - of.amin(1)).amax(-1)[:, None, None].clamp_min(1e-3)
    distance = torch.cdist(places, of) / (SPREAD * width)
    weight = (-distance.square() / 2).exp()
    return (weight @ motion) / (weight.sum(-1, keepdim=True) + AWAY)
