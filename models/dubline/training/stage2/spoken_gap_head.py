"""Auxiliary reading of the lip gap, so that the articulation extractor's output determines the lips linearly.

Inference holds the lips at such a reading (`dubline.training.spoken_gap` fits the one that is released). The denoising
loss alone teaches it poorly: the denoiser can learn lips from noise, source and previous frames too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

LEARNING_RATE: Final = 1e-3
#: Factor on the loss, whose value is about .5 where a denoising loss is about 1.
WEIGHT: Final = 1.0
#: Smallest standard deviation of a window's gap, in the units of the readings (cm), by which its errors are divided.
LEAST_SPREAD_CM: Final = 0.1


class SpokenGapHead:
    """Linear head that is trained beside the network, with an optimiser of its own.

    Args:
        width: of the articulation extractor's output.
        device: of the batches.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.head = nn.Linear(width, 1).to(device)
        self.optimiser = torch.optim.AdamW(self.head.parameters(), LEARNING_RATE)

    def loss(self, articulation: Tensor, gap: Tensor) -> Tensor:
        """Compute the error of the gap, both sides centred per window; `step` follows its gradient.

        Args:
            articulation: (B, P + T, W), of a window and the previous frames, which are left out.
            gap: (B, T), relative to the source's, in cm.
        """
        self.optimiser.zero_grad(set_to_none=True)
        read = self.head(articulation[:, -gap.shape[1] :]).float()[..., 0]
        spread = gap.std(1, keepdim=True).clamp_min(LEAST_SPREAD_CM)
        error = (read - read.mean(1, keepdim=True) - gap + gap.mean(1, keepdim=True)) / spread
        loss: Tensor = WEIGHT * error.square().mean()
        return loss

    def step(self) -> None:
        """Update the head by its gradient."""
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Return all state for resuming."""
        return {"head": self.head.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
