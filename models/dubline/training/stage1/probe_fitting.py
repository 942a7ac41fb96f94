"""Fits the teacher's heads to a motion encoder that is trained already, by least squares on its latents.

Released weights have no heads. Random ones would pull a trained encoder to where they happen to read.
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

#: Frames to fit to, each under a camera of its own, and how many are read at once.
FRAMES: Final = 3600
BATCH: Final = 24
#: What the fit costs in weights, as a share of a latent's mean variance.
RIDGE: Final = 1e-3


@torch.no_grad()
def fit_probes(model: SupervisedAutoencoder, sampler: PairSampler, names: Sequence[str] = HEADS) -> None:
    """Let heads read what the latents say of rig and landmarks; without labels they stay as they are.

    Args:
        model: changed in place: these heads, and nothing else.
        sampler: clips to draw frames from.
        names: of `session.HEADS`, which ones.
    """
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(FRAMES // BATCH):
        pairs = sampler.draw(BATCH, 1)
        motion = model.read(pairs.augmented).motion.float()
        rows.append((motion, pairs.geometry, pairs.rigged > 0, pairs.driving_landmarks.flatten(1), pairs.marked > 0))
    motion, geometry, rigged, landmarks, marked = map(torch.cat, zip(*rows, strict=True))
    if "geometry_head." in names:
        _fit(model.geometry_head, motion[rigged], geometry[rigged])
    if "landmark_head." in names:
        _fit(model.landmark_head, motion[marked], landmarks[marked])


def _fit(head: nn.Linear, motion: Tensor, wanted: Tensor) -> None:
    if not len(motion):
        return
    weight, offset = regress(motion, wanted, RIDGE * float(motion.var(0).mean()) * len(motion))
    head.weight.copy_(weight)
    head.bias.copy_(offset)
