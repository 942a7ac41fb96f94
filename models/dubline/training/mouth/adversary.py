"""The trained discriminator: logistic loss with a gradient penalty on real crops, and what it tells the refiner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from dubline.models.layers import full_precision
from dubline.models.precision import training_autocast
from dubline.training import gradients
from dubline.training.mouth.discriminator import Discriminator

if TYPE_CHECKING:
    from collections.abc import Mapping

LEARNING_RATE: Final = 5e-4
#: No first moment, because what is generated changes from step to step.
BETAS: Final = (0.0, 0.99)
MOST_NORM: Final = 5.0
#: Weight of the penalty, and the interval in steps at which it is computed, so many times as strong (StyleGAN 2).
PENALTY: Final = 1.0
PENALTY_STEPS: Final = 4


class Verdict(NamedTuple):
    """Losses of generated crops."""

    adversarial: Tensor
    """Logistic loss of crops that count as real: 0.7 at chance."""
    matching: Tensor
    """Distance of the features from those of the targets, as a share of these."""


class Adversary:
    """A discriminator with its optimiser, a companion of the training session.

    Args:
        device: of the crops.
    """

    def __init__(self, device: torch.device) -> None:
        self.network = Discriminator().to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), LEARNING_RATE, betas=BETAS)
        self.steps = 0

    def step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Train the discriminator on crops (B, CHANNELS, H, W) of targets and of what is generated.

        No gradient reaches them.

        Returns:
            The logistic loss without the penalty: 1.39 at chance.
        """
        real, fake = real.detach(), fake.detach()
        with training_autocast(real.device):
            logits, _ = self.network(torch.cat([real, fake]))
        of_real, of_fake = logits.float().chunk(2)
        loss = F.softplus(-of_real).mean() + F.softplus(of_fake).mean()
        total = loss
        if self.steps % PENALTY_STEPS == 0:
            total = loss + PENALTY_STEPS * PENALTY * gradient_penalty(self.network, real)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        gradients.limit(self.network.parameters(), MOST_NORM)
        self.optimiser.step()
        self.steps += 1
        return loss.detach()

    def verdict(self, fake: Tensor, real: Tensor) -> Verdict:
        """Compute the losses of generated crops `fake` with targets `real`; gradients reach `fake` only."""
        frozen = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        with training_autocast(fake.device):
            with torch.no_grad():
                _, wanted = self.network(real)
            logits, found = functional_call(self.network, frozen, (fake,))
        return Verdict(F.softplus(-logits.float()).mean(), _distance(found, wanted))

    def state_dict(self) -> dict[str, Any]:
        """Return all state for resuming; `torch.load` reads it with `weights_only=True`."""
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`.

        Raises:
            RuntimeError: it is of another discriminator.
        """
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]


def gradient_penalty(network: Discriminator, real: Tensor) -> Tensor:
    """Compute R1 (Mescheder et al., 2018): half the mean squared norm of the gradient of a crop's mean logit.

    In fp32: the gradient of a gradient in bf16 is mostly rounding.
    """
    crops = real.detach().requires_grad_()
    with full_precision(crops.device):
        logits, _ = network(crops)
        (slopes,) = torch.autograd.grad(logits.mean((1, 2, 3)).sum(), crops, create_graph=True)
    penalty: Tensor = slopes.square().sum((1, 2, 3)).mean() / 2
    return penalty


def _distance(found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    shares = [
        (own.float() - goal.float()).abs().mean() / goal.float().abs().mean().clamp_min(1e-3)
        for own, goal in zip(found, wanted, strict=True)
    ]
    return torch.stack(shares).mean()
