"""Linear readouts of head, lids, lips and mood from whitened motion, and the directions that change one of them."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

#: Head pitch, yaw, roll in rad; head position (right, up, forward) in dm; lids, 0 open to 1 closed; lip gap in cm;
#: brows (raised minus lowered), smile (minus frown) and cheeks (tensed cheeks, eyes and nose), each a sum of weights
#: from 0 to 1. Gaze and pressed lips are left out: their readings are nearly those of the pose and of the lip gap
#: (cosines of .98 and .97 in TINY), so that neither could be changed alone.
READINGS: Final = ("pitch", "yaw", "roll", "right", "up", "forward", "lids", "lip_gap", "brows", "smile", "cheeks")
HEAD: Final = slice(6)
LIDS: Final = 6
LIPS: Final = 7
MOOD: Final = slice(8, 11)


class LinearReadout(nn.Module):
    """Linear readings of whitened motion, which is relative: they measure changes, not absolute states.

    All weights are 0 at initialisation: readings and directions are then 0. They are fitted to labelled clips when
    weights are released.

    Args:
        whitened: K, the size of whitened motion.
        articulation: W, the width of the articulation extractor's output; 0 if `spoken_gap` is not needed.
    """

    weight: Tensor
    """(11, K), the readings."""
    lid_closure: Tensor
    """(K,), mean change of whitened motion when open eyes close and nothing else changes. The direction of the lids'
    reading is not used for blinks: regression shrinks readings of rare events, and closed lids are read as half
    closed."""
    spoken_gap: Tensor
    """(W + 1,), lip gap that speech determines, in cm above closed lips: weights of the articulation of a frame, then
    the constant. All 0 if it is not fitted."""

    def __init__(self, whitened: int, articulation: int = 0) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(len(READINGS), whitened))
        self.register_buffer("lid_closure", torch.zeros(whitened))
        self.register_buffer("spoken_gap", torch.zeros(articulation + 1))

    def forward(self, motion: Tensor) -> Tensor:
        """Compute readings (..., 11), in the units of `READINGS`, of whitened motion (..., K)."""
        return motion @ self.weight.T

    def gap_spoken(self, articulation: Tensor) -> Tensor | None:
        """Return the lip gap (..., T) that speech determines, in cm above closed lips; None if it is not fitted.

        Args:
            articulation: (..., T, W), output of the articulation extractor.
        """
        if not self.spoken_gap.any():
            return None
        gap: Tensor = articulation @ self.spoken_gap[:-1] + self.spoken_gap[-1]
        return gap

    def remove_reading(self, motion: Tensor, reading: int) -> Tensor:
        """Apply the smallest change to whitened motion (..., K) that makes one reading 0 and keeps the others."""
        changed: Tensor = motion - self(motion)[..., reading, None] * self.directions()[reading]
        return changed

    def directions(self) -> Tensor:
        """Compute for each reading the motion (11, K) of least norm that raises it by 1 and keeps the others.

        Whitened motion has unit variance in all directions, so this is also the mean motion of the training clips given
        such a reading.
        """
        # Readings have different units; normalised, the pseudo-inverse recognises zero rows.
        size = self.weight.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        directions: Tensor = torch.linalg.pinv((self.weight / size).double()).T / size
        return directions.float()
