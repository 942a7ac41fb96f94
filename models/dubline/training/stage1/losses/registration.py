"""Brings a driving frame to where the deformation has put the face, so that paint learns to be sharp.

A latent knows the head's pose to a few pixels only. Paint that is compared with a picture a few pixels away learns
the mean of all places where teeth might be: a blur. What is off as a whole is the deformation's business; paint is
judged for what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.training.stage1.data import augment
from dubline.training.stage1.losses.terms import displacement_error

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.training.stage1.data.pairs import Pairs

#: Multi-PIE landmarks that hardly move but with the head: nose, corners of the eyes, corners of the mouth. Lips, lids
#: and jaw are left out: how far they are apart is what paint has to learn.
RIGID: Final = (*range(27, 36), 36, 39, 42, 45, 48, 54)
#: How much the fit is held to no change, in units of one landmark's squared error per squared half side.
RIDGE: Final = 1e-3


def registered(pairs: Pairs, displacement: Tensor) -> Pairs:
    """The same pairs, with driving frames and their landmarks where a rendering shows the face.

    Args:
        pairs: without landmarks a frame stays where it is.
        displacement: (N, 2, H, W), the mixed deformation of the rendering.
    """
    off = displacement_error(displacement.float(), pairs.source_landmarks, pairs.driving_landmarks)
    cameras = fit(pairs.driving_landmarks - off, pairs.driving_landmarks, pairs.marked)
    return pairs._replace(
        driving=augment.view(pairs.driving, cameras, bicubic=True),
        driving_landmarks=augment.project(pairs.driving_landmarks, cameras),
    )


def fit(shown: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """The affine maps that bring rigid landmarks from where they are shown to where they should be.

    Args:
        shown: (N, 68, 2) and
        wanted: (N, 68, 2), in [-1, 1].
        known: (N,), 0 where landmarks are a guess: nothing is to move there.

    Returns:
        (N, 2, 3), cameras of `augment.view`.
    """
    rigid = list(RIGID)
    begin, end = shown[:, rigid], wanted[:, rigid]
    begin = torch.cat([begin, torch.ones_like(begin[..., :1])], dim=-1)
    still = torch.eye(2, 3, device=shown.device)
    # What is fitted is the difference from staying, so that the ridge pulls there.
    moved = known[:, None, None] * (end - begin @ still.mT)
    ridge = RIDGE * torch.eye(3, device=shown.device)
    change = torch.linalg.solve(begin.mT @ begin + ridge, begin.mT @ moved)
    cameras: Tensor = still + change.mT
    return cameras
