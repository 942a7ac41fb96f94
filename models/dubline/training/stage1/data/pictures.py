"""Samples pictures of faces with measured landmarks, with random cameras and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dubline.training.corpus import to_frames
from dubline.training.stage1.data import augment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.training.corpus import Clip


class Pictures(NamedTuple):
    """A batch of pictures."""

    frames: Tensor
    """(B, 3, S, S) in [-1, 1]."""
    landmarks: Tensor
    """(B, 68, 2) in [-1, 1]."""


class PictureSampler:
    """Samples pictures, each with equal probability.

    Args:
        pictures: clips of one frame; those without landmarks are left out.
        device: of the batches.
    """

    def __init__(self, pictures: Sequence[Clip], device: torch.device) -> None:
        self.device = device
        known = [(clip.frames[0], clip.landmarks[0]) for clip in pictures if clip.landmarks is not None]
        self.frames, self.landmarks = zip(*known, strict=True)
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start a new random sequence; a resumed run must not repeat its first pictures."""
        self.random = np.random.default_rng([seed, 2])
        self.generator = torch.Generator().manual_seed(seed + 2)

    def draw(self, count: int) -> Pictures:
        """Draw a batch."""
        chosen = self.random.integers(len(self.frames), size=count)
        cameras = augment.random_cameras(count, self.generator).to(self.device)
        colours = augment.random_colours(count, self.generator).to(self.device)
        frames = to_frames(np.stack([self.frames[index] for index in chosen]), self.device)
        landmarks = torch.from_numpy(np.stack([self.landmarks[index] for index in chosen])).to(self.device)
        return Pictures(augment.recolour(augment.view(frames, cameras), colours), augment.project(landmarks, cameras))
