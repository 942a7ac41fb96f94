"""Transfer loss: pictures of people move as rendered heads do.

Nobody knows how a picture of a person would look with an open mouth, but where lips and chin would be is known nearly:
they move as those of a rendered head whose latent changes by the same. Without this loss the chins of photographs
follow the lips less than those of rendered heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dubline.training.stage1.losses.terms import ABOVE_LIPS, BELOW_LIPS, LEFT_EYE, RIGHT_EYE, jaw_loss

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Autoencoder
    from dubline.training.stage1.data.pairs import Pairs
    from dubline.training.stage1.data.pictures import Pictures


class Change(NamedTuple):
    """What changes between two frames of a head."""

    motion: Tensor
    """(B, M)."""
    landmarks: Tensor
    """(B, 68, 2), in distances of the eyes."""


def transfer_loss(network: Autoencoder, pictures: Pictures, pairs: Pairs, size_px: int) -> Tensor:
    """Compute the error of lips and chins of pictures that move as heads of `pairs` do.

    Args:
        network: stage 1.
        pictures: B of them.
        pairs: at least B, with one driving frame each and known landmarks.
        size_px: side at which to deform.
    """
    change = opening_changes(network, pairs, len(pictures.frames))
    source = network.encode_source(pictures.frames.contiguous(memory_format=torch.channels_last), size_px)
    deformation = network.deform(source, source.motion + change.motion)
    moved = pictures.landmarks + change.landmarks * eye_distance(pictures.landmarks)
    return jaw_loss(deformation.mixed, pictures.landmarks, moved)


@torch.no_grad()
def opening_changes(network: Autoencoder, pairs: Pairs, count: int) -> Change:
    """Return what changes in the first `count` pairs from the frame whose lips are less apart to the other."""
    frames = torch.cat([pairs.sources[:count], pairs.driving[:count]])
    before, after = network.encode_motion(frames.contiguous(memory_format=torch.channels_last)).float().chunk(2)
    first, second = pairs.source_landmarks[:count], pairs.driving_landmarks[:count]
    # Shut lips of a picture cannot shut further.
    sign = torch.where(_gap(second) >= _gap(first), 1.0, -1.0)
    return Change(sign[:, None] * (after - before), sign[:, None, None] * (second - first) / eye_distance(first))


def eye_distance(landmarks: Tensor) -> Tensor:
    """Return the distance of the eyes' middles: landmarks (B, 68, 2) -> (B, 1, 1)."""
    between = landmarks[:, LEFT_EYE].mean(1) - landmarks[:, RIGHT_EYE].mean(1)
    distance: Tensor = between.norm(dim=-1).clamp_min(1e-3)[:, None, None]
    return distance


def _gap(landmarks: Tensor) -> Tensor:
    gap: Tensor = (landmarks[:, BELOW_LIPS] - landmarks[:, ABOVE_LIPS]).norm(dim=-1).mean(1)
    return gap
