"""When a face blinks: a habit that speech hardly tells anything of, so it is drawn beside the motion, from the seed."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

#: Frames from blink to blink, on average: 17 a minute, as people do at rest; in conversation it is 26 (Bentivoglio et
#: al., Movement Disorders 12, 1997).
USUAL_FRAMES: Final = 88
#: How far lids are shut, frame by frame: they fall in a tenth of a second and rise in two.
SHAPE: Final = (0.3, 0.85, 1.0, 0.9, 0.6, 0.3, 0.1)
#: Frames with open eyes between two blinks, at least.
LEAST_OPEN: Final = 8
#: And at most, however seldom blinks are asked for: longer than an hour.
MOST_OPEN: Final = 100_000


class Blinks:
    """The blinks of one video, frame after frame.

    Args:
        amount: how often: 0 never, 1 as usual, 2 twice as often.
        seed: the same seed gives the same blinks, however many frames are asked for at a time.
    """

    def __init__(self, amount: float, seed: int) -> None:
        # Another stream than that of the noise, which has the seed itself.
        self.random = torch.Generator().manual_seed(seed * 1_000_003 + 999_983)
        self.amount = amount
        self.waiting = torch.zeros(0)

    def __call__(self, count: int) -> Tensor:
        """How far lids are shut in the next frames, 0 open to 1 shut: (count,)."""
        if not self.amount:
            return torch.zeros(count)
        while len(self.waiting) < count:
            self.waiting = torch.cat([self.waiting, torch.zeros(self._pause()), torch.tensor(SHAPE)])
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        return now

    def _pause(self) -> int:
        """Frames to the next blink. Pauses are irregular: a gamma distribution of shape 2 above the least one."""
        mean = USUAL_FRAMES / self.amount - len(SHAPE) - LEAST_OPEN
        # Of shape 2: the sum of two exponentials.
        drawn = -torch.rand(2, generator=self.random, dtype=torch.float64).clamp_min(1e-9).log().sum() / 2
        return LEAST_OPEN + round(min(mean * float(drawn), MOST_OPEN))
