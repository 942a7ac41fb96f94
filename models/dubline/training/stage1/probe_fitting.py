"""Fits the supervision heads to a trained motion encoder, by ridge regression on its latents (linear probes).

Released weights have no heads. Heads with random weights would send wrong gradients to the trained encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.training.ridge import regress
from dubline.training.session import HEADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from dubline.training.stage1.data.pairs import PairSampler
    from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder

#: Number of frames, each with a random camera, and batch size.
FRAMES: Final = 3600
BATCH: Final = 24
#: Ridge penalty, as a share of a latent's mean variance.
RIDGE: Final = 1e-3


@torch.no_grad()
def fit_probes(model: SupervisedAutoencoder, sampler: PairSampler, names: Sequence[str] = HEADS) -> None:
    """Fit heads to the rig parameters and landmarks; without labels they stay unchanged.

    Args:
        model: these heads are changed in place.
        sampler: of clips.
        names: which of `session.HEADS`.
    """
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(FRAMES // BATCH):
        pairs = sampler.draw(BATCH, 1)
        motion = model.predict(pairs.augmented).motion.float()
        known = pairs.geometry_known > 0, pairs.landmarks_known > 0
        rows.append((motion, pairs.geometry, pairs.driving_landmarks.flatten(1), *known))
    motion, geometry, landmarks, geometry_known, landmarks_known = map(torch.cat, zip(*rows, strict=True))
    if "geometry_head." in names:
        _fit(model.geometry_head, motion[geometry_known], geometry[geometry_known])
    if "landmark_head." in names:
        _fit(model.landmark_head, motion[landmarks_known], landmarks[landmarks_known])


def _fit(head: nn.Linear, motion: Tensor, wanted: Tensor) -> None:
    if not len(motion):
        return
    weight, offset = regress(motion, wanted, RIDGE * float(motion.var(0).mean()) * len(motion))
    head.weight.copy_(weight)
    head.bias.copy_(offset)
