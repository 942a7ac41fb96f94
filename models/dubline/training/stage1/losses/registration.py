"""Registers driving frames to the rendered head position, so that generated pixels can be sharp.

A latent determines the head pose to a few pixels only. Generated pixels that are compared with a frame a few pixels
away converge to the mean over all shifts, which is blurred. The shift as a whole is an error of the deformation;
generated pixels are compared without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

from dubline.training.stage1.data import augment
from dubline.training.stage1.losses.terms import displacement_error

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.training.stage1.data.pairs import Pairs

#: Multi-PIE landmarks that move with the head only: nose, corners of the eyes, corners of the mouth. Lips, lids and jaw
#: are excluded: generated pixels have to learn their motion.
RIGID: Final = (*range(27, 36), 36, 39, 42, 45, 48, 54)
#: Ridge towards no change, in units of one landmark's squared error per squared half side.
RIDGE: Final = 1e-3
#: Steps that find where a point is shown, and the share of the error that each removes: moved lips are stretched, so
#: whole steps would go too far.
STEPS: Final = 12
DAMPING: Final = 0.5


def register(pairs: Pairs, displacement: Tensor) -> Pairs:
    """Move driving frames and their landmarks to the head position of a rendering.

    Args:
        pairs: frames without known landmarks stay unchanged.
        displacement: (N, 2, H, W), the mixed deformation of the rendering.
    """
    error = displacement_error(displacement.float(), pairs.source_landmarks, pairs.driving_landmarks)
    cameras = fit_cameras(pairs.driving_landmarks - error, pairs.driving_landmarks, pairs.landmarks_known)
    return pairs._replace(
        driving=augment.view(pairs.driving, cameras, bicubic=True),
        driving_landmarks=augment.project(pairs.driving_landmarks, cameras),
    )


def fit_cameras(shown: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Fit affine maps from the shown to the wanted positions of rigid landmarks.

    Args:
        shown: (N, 68, 2) in [-1, 1].
        wanted: (N, 68, 2) in [-1, 1].
        known: (N,), 0 where landmarks are a guess: the map is the identity there.

    Returns:
        (N, 2, 3), cameras of `augment.view`.
    """
    rigid = list(RIGID)
    given, target = shown[:, rigid], wanted[:, rigid]
    given = torch.cat([given, torch.ones_like(given[..., :1])], dim=-1)
    identity = torch.eye(2, 3, device=shown.device)
    # Fit the difference from the identity, so that the ridge pulls towards it.
    moved = known[:, None, None] * (target - given @ identity.mT)
    ridge = RIDGE * torch.eye(3, device=shown.device)
    change = torch.linalg.solve(given.mT @ given + ridge, given.mT @ moved)
    cameras: Tensor = identity + change.mT
    return cameras


def shown_at(displacement: Tensor, points: Tensor, start: Tensor) -> Tensor:
    """Find where a deformation shows points of the source.

    Args:
        displacement: (N, 2, H, W), x then y, in half sides.
        points: (N, P, 2) in [-1, 1] of the source.
        start: (N, P, 2), near the places.

    Returns:
        (N, P, 2) in [-1, 1] of the rendering.
    """
    places = start
    for _ in range(STEPS):
        moved = F.grid_sample(displacement, places[:, :, None], padding_mode="border", align_corners=False)[..., 0].mT
        places = places - DAMPING * (places + moved - points)
    return places
