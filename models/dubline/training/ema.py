"""A slow-moving average of a network: what is released."""

from __future__ import annotations

import copy
from typing import Final

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

#: After so many steps the average no longer hurries: it is not of noise any more.
WARM_STEPS: Final = 10_000


class Average:
    """Exponential moving average of all parameters; buffers are copied."""

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network; faster at first, while the average is still of noise."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        # All parameters in a few kernels: a GPU spends longer starting hundreds of small ones than running them.
        mine, theirs = list(self.network.parameters()), [theirs.detach() for theirs in network.parameters()]
        get_ema_multi_avg_fn(decay)(mine, theirs, self.steps)
        for kept, current in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(current)

    def reset(self) -> None:
        """Move fast at first: what is trained from now on is noise yet, and the rest stands still."""
        self.steps = 0

    def skip_warm_up(self) -> None:
        """Move slowly from now on: the weights are trained ones."""
        self.steps = max(self.steps, WARM_STEPS)
