"""Linear layer on the articulation extractor's output that supervises it and is discarded after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from dubline.training import gradients

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Learning rate of the head over the network's: it starts untrained.
RATE: Final = 2.0


class AuxiliaryHead:
    """Linear head that is trained beside the network, with an optimiser of its own.

    Args:
        width: of the articulation extractor's output.
        outputs: number of values that it predicts.
        device: of the batches.
    """

    def __init__(self, width: int, outputs: int, device: torch.device) -> None:
        self.device = device
        self.head = nn.Linear(width, outputs).to(device)
        self.optimiser = torch.optim.AdamW(self.head.parameters(), betas=(0.9, 0.98), weight_decay=0.02)

    def step(self, learning_rate: float) -> None:
        """Update the head by its gradient.

        Args:
            learning_rate: of the network.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * learning_rate
        gradients.limit(self.head.parameters())
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return all state for resuming."""
        return {"head": self.head.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
