"""Flow matching: straight paths from noise (time 0) to data (time 1). Pure functions."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """The point at `time` (B, 1, 1) on the path from noise to clean, both (B, T, K)."""
    return noise + time * (clean - noise)


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """Where the path leads, at any time: the target of the denoiser."""
    return clean - noise


def clean_estimate(noisy: Tensor, predicted_velocity: Tensor, time: Tensor) -> Tensor:
    """The clean motion that a predicted velocity points to."""
    return noisy + (1 - time) * predicted_velocity


def times(steps: int) -> Tensor:
    """Borders of `steps` Euler steps, (steps + 1,) from 0 to 1."""
    return torch.linspace(0, 1, steps + 1)
