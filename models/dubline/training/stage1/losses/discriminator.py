"""Adversarial loss: a patch discriminator of real and rendered crops teaches a trained renderer texture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Enough for edges, teeth and lashes; a larger discriminator would overfit to the training faces.
WIDTHS: Final = (32, 64, 128)
LEARNING_RATE: Final = 2e-4
#: Colours of a crop, and the mask of what is seen between the lips.
CHANNELS: Final = 4
#: Almost no first moment, because the renderer's output changes from step to step.
BETAS: Final = (0.5, 0.9)
#: Weight of the feature matching beside the hinge term.
MATCHING: Final = 2.0
#: Steps over which the loss is ramped up: an untrained discriminator gives no useful gradient.
RAMP_STEPS: Final = 300


class SpectralConv(nn.Conv2d):
    """A convolution with spectral norm: it is 1-Lipschitz, regardless of autocast.

    Args:
        channels: input channels.
        out_channels: output channels.
        side: of the kernel.
        stride: 2 halves the picture.
    """

    def __init__(self, channels: int, out_channels: int, side: int, stride: int) -> None:
        super().__init__(channels, out_channels, side, stride, padding=(side - 1) // 2)
        spectral_norm(self)

    def forward(self, features: Tensor, *, frozen: bool = False) -> Tensor:
        """Convolve features (B, C, H, W); `frozen` sends no gradient to the weights."""
        # The norm is found by power iteration: in bf16 it would be a percent off.
        with torch.autocast(features.device.type, enabled=False):
            weight, bias = self.weight, self.bias
        if frozen:
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        return F.conv2d(features, weight, bias, self.stride, (self.kernel_size[0] - 1) // 2)


class Discriminator(nn.Module):
    """Patch discriminator with patches of about 40 px: crops (B, CHANNELS, H, W) -> logits (B, 1, H/8, W/8)."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pairs = zip((CHANNELS, *widths), widths, strict=False)
        self.layers = nn.ModuleList(SpectralConv(before, after, 4, stride=2) for before, after in pairs)
        self.head = SpectralConv(widths[-1], 1, 3, stride=1)

    def forward(self, crops: Tensor, *, frozen: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Classify patches.

        Args:
            crops: (B, CHANNELS, H, W), sides of at least 8 px.
            frozen: send gradients to the crops only.

        Returns:
            Logits, positive for real, and the features of each layer, fine to coarse.
        """
        features, seen = crops.contiguous(memory_format=torch.channels_last), []
        for layer in self.layers:
            features = F.leaky_relu(layer(features, frozen=frozen), 0.2)
            seen.append(features)
        return self.head(features, frozen=frozen), seen


class AdversarialLoss:
    """A discriminator with its optimiser, for one kind of crop.

    Call `step`, then add a weight times `loss` to the renderer's loss. It is a companion of the training session:
    `state_dict` has its weights, moments and steps.

    Args:
        device: of the crops.
        learning_rate: of the discriminator.
    """

    def __init__(self, device: torch.device, learning_rate: float = LEARNING_RATE) -> None:
        self.network = Discriminator().to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), learning_rate, betas=BETAS)
        self.steps = 0

    def step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Train the discriminator on crops (B, CHANNELS, H, W) of driving and of rendered frames.

        No gradient reaches them.

        Returns:
            The hinge loss, a scalar: 2 at chance level, 0 if all crops are classified with margin.
        """
        # One pass over both: half the kernels and half the power iterations.
        logits, _ = self.network(torch.cat([real.detach(), fake.detach()]))
        of_real, of_fake = logits.float().chunk(2)
        loss = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for parameter in self.network.parameters():
            # As in the session: one overflow must not end the run.
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0)
        self.optimiser.step()
        self.steps += 1
        return loss.detach()

    def loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compute the renderer's loss on rendered crops `fake` against `real` ones, both (B, CHANNELS, H, W).

        It is the hinge term plus the distance of the features (feature matching), which ties the output to the target
        frame. It rises from 0 over the first RAMP_STEPS steps. Gradients reach `fake` only.
        """
        with torch.no_grad():
            _, wanted = self.network(real, frozen=True)
        logits, found = self.network(fake, frozen=True)
        matching = torch.stack(
            [
                (own.float() - goal.float()).abs().mean() / goal.float().abs().mean().clamp_min(1e-3)
                for own, goal in zip(found, wanted, strict=True)
            ]
        ).mean()
        loss: Tensor = MATCHING * matching - logits.float().mean()
        return loss * min(1.0, self.steps / RAMP_STEPS)

    def state_dict(self) -> dict[str, Any]:
        """Return all state for resuming; `torch.load` reads it with `weights_only=True`."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`.

        Raises:
            RuntimeError: it is of another discriminator.
        """
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]
