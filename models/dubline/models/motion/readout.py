"""Reads head, lids, lips and mood off whitened motion, and knows the smallest step of motion that changes one alone."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

#: Head pitch, yaw, roll in rad; where the head is (right, up, forward) in dm; lids, 0 open to 1 shut; lip gap in cm;
#: raised less lowered brows, smile less frown, and tensed cheeks, eyes and nose, each a sum of weights from 0 to 1.
#: Neither gaze nor pressed lips: linear readings of them are those of the pose and of the lip gap over again (cosines of
#: .98 and .97 in TINY), so that none of them could be changed alone.
READINGS: Final = ("pitch", "yaw", "roll", "right", "up", "forward", "lids", "lip_gap", "brows", "smile", "cheeks")
HEAD: Final = slice(6)
LIDS: Final = 6
LIPS: Final = 7
MOOD: Final = slice(8, 11)


class LinearReadout(nn.Module):
    """Linear readings of whitened motion: what moved, not where it is in absolute terms.

    Zeros, as it begins, read nothing and have no steps. Fitted to labelled clips when weights are released.

    Args:
        whitened: K, the size of whitened motion.
    """

    weight: Tensor
    """(11, K), the readings."""
    lid_closure: Tensor
    """(K,), how whitened motion changes on average when open eyes shut and nothing else is done. A step of the lids'
    reading would not do: readings of seldom things are drawn to their mean, shut lids read as half shut."""

    def __init__(self, whitened: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(len(READINGS), whitened))
        self.register_buffer("lid_closure", torch.zeros(whitened))

    def forward(self, motion: Tensor) -> Tensor:
        """Whitened motion (..., K) -> readings (..., 11) in the units of `READINGS`."""
        return motion @ self.weight.T

    def without(self, motion: Tensor, reading: int) -> Tensor:
        """Whitened motion (..., K), changed as little as makes one reading 0 and leaves the others alone."""
        changed: Tensor = motion - self(motion)[..., reading, None] * self.steps()[reading]
        return changed

    def steps(self) -> Tensor:
        """For each reading the motion (11, K) of least norm that raises it by 1 and leaves the others alone.

        Whitened motion has unit variance in all directions, so this is also the motion that goes with such a reading
        on average over the training clips.
        """
        # Readings differ in their units; without them the pseudo-inverse knows what is nothing.
        size = self.weight.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        steps: Tensor = torch.linalg.pinv((self.weight / size).double()).T / size
        return steps.float()
