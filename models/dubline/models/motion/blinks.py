"""Times of blinks. They hardly depend on speech, so they are drawn from the seed and added to the sampled motion."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

#: Mean frames between the starts of two blinks: 17 blinks a minute, the rate at rest. In conversation it is 26
#: (Bentivoglio et al., Movement Disorders 12, 1997).
MEAN_INTERVAL_FRAMES: Final = 88
#: Closure of the lids in each frame of a blink: they close in 0.1 s and open in 0.2 s. Closures between .42 and .85 are
#: left out: the networks draw a pale iris through the lid there (docs/log.md).
PROFILE: Final = (0.3, 0.85, 1.0, 0.9, 0.4, 0.2, 0.1)
#: A blink of tired eyes: it takes twice the time and lids rest.
SLOW_PROFILE: Final = (0.2, 0.4, 0.9, 1.0, 1.0, 0.95, 0.85, 0.42, 0.35, 0.25, 0.15, 0.05)
#: Shares of slow and of incomplete blinks, and how far lids close in these: our choice, so that blinks differ.
SLOW_SHARE: Final = 0.1
HALF_SHARE: Final = 0.1
HALF: Final = 0.42
#: Least number of frames with open eyes between two blinks.
MIN_OPEN_FRAMES: Final = 8
#: Largest number of these frames, at any blink rate: more than an hour.
MAX_OPEN_FRAMES: Final = 100_000


class Blinks:
    """The blinks of one video, generated frame by frame.

    Args:
        amount: factor on the blink rate: 0 none, 1 the mean rate, 2 twice the rate.
        seed: the same seed gives the same blinks, independent of the number of frames per call.
    """

    def __init__(self, amount: float, seed: int) -> None:
        # A stream of its own: noise uses other seeds.
        self.random = torch.Generator().manual_seed(seed * 1_000_003 + 999_983)
        self.amount = amount
        self.scheduled = torch.zeros(0)

    def __call__(self, count: int) -> Tensor:
        """Return the closure of the lids in the next frames, 0 open to 1 closed: (count,)."""
        if not self.amount:
            return torch.zeros(count)
        while len(self.scheduled) < count:
            self.scheduled = torch.cat([self.scheduled, torch.zeros(self._open_frames()), self._blink()])
        now, self.scheduled = self.scheduled[:count], self.scheduled[count:]
        return now

    def _blink(self) -> Tensor:
        """Draw a whole, a slow or an incomplete blink: the closure in each of its frames."""
        kind = float(torch.rand((), generator=self.random, dtype=torch.float64))
        if kind < SLOW_SHARE:
            return torch.tensor(SLOW_PROFILE)
        return torch.tensor(PROFILE) * (HALF if kind > 1 - HALF_SHARE else 1.0)

    def _open_frames(self) -> int:
        """Draw the frames until the next blink: the least number plus a gamma variate of shape 2."""
        mean = MEAN_INTERVAL_FRAMES / self.amount - len(PROFILE) - MIN_OPEN_FRAMES
        # A gamma variate of shape 2 is the sum of two exponential variates.
        drawn = -torch.rand(2, generator=self.random, dtype=torch.float64).clamp_min(1e-9).log().sum() / 2
        return MIN_OPEN_FRAMES + round(min(mean * float(drawn), MAX_OPEN_FRAMES))
