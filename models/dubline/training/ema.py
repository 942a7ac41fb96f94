"""Exponential moving average (EMA) of a network; the average is what is released."""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

#: Number of steps that trained weights count as: the average then covers 50 steps, and a ninth of all later ones. If
#: it covered 1,000 from the start, a run of some hundred steps would return the weights that it started from
#: (docs/log.md).
TRAINED_STEPS: Final = 450


class Average:
    """Exponential moving average of all parameters; buffers are copied."""

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average; the decay warms up, because the first averages are of untrained weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        # One fused call: hundreds of small GPU kernels cost more to launch than to run.
        averages = list(self.network.parameters())
        parameters = [parameter.detach() for parameter in network.parameters()]
        get_ema_multi_avg_fn(decay)(averages, parameters, self.steps)
        for kept, current in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(current)

    def reset(self) -> None:
        """Restart the warm-up of the decay: the parameters to be trained are untrained, the others are frozen."""
        self.steps = 0

    def skip_warm_up(self) -> None:
        """Skip the first steps of the decay's warm-up: the weights are trained."""
        self.steps = max(self.steps, TRAINED_STEPS)
