"""Holds the lip gap of sampled motion at the gap that speech determines, on its way from noise to motion."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dubline.models.motion.readout import LIPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from dubline.models.motion.readout import LinearReadout


class SpokenLips:
    """Determines the lip gap of one source's motion from speech (decision 0054).

    Args:
        readout: of the networks that sample the motion.
        source: (K,), the whitened motion of the source frame.
        closed_gap: gap of closed lips minus the source's, in cm.
    """

    def __init__(self, readout: LinearReadout, source: Tensor, closed_gap: float) -> None:
        self.readout, self.direction = readout, readout.directions()[LIPS]
        self.closed = readout(source)[LIPS] + closed_gap

    def hold(self, articulation: Tensor) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return the change of noisy motion (B, T, K) at a time that holds its lip gap; None without a fitted readout.

        Noise has a lip reading of 0, so at time t noisy motion has t times the reading of the motion that it becomes.

        Args:
            articulation: (B, T, W), output of the articulation extractor for the frames of a window.
        """
        spoken = self.readout.gap_spoken(articulation)
        return None if spoken is None else partial(self._hold, self.closed + spoken)

    def _hold(self, reading: Tensor, motion: Tensor, time: Tensor) -> Tensor:
        change = time * reading - self.readout(motion)[..., LIPS]
        held: Tensor = motion + change[..., None] * self.direction
        return held
