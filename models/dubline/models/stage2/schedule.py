"""What the denoiser learns and how its predictions are walked along: straight paths from noise to data. Pure functions.

All three objectives share the path x(t) = (1 - t) noise + t clean, noise at time 0 and data at time 1. On a straight
path the deterministic DDIM step, re-noising the clean estimate with the estimated noise, IS the Euler step along the
velocity that the prediction implies: t' c + (1 - t') (x - t c) / (1 - t) = x + (t' - t) (c - x) / (1 - t). So one
sampler serves all, ablations differ in nothing but the objective, and no second schedule has to be tuned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.presets import Objective

#: In pure noise (time 0) its prediction says nothing of the data: the noise objective begins here, where a tenth of the
#: data shows and an error of the prediction counts nine times in the clean estimate; later starts skip the large motion.
EPSILON_START: Final = 0.1


def start(objective: Objective) -> float:
    """The time at which training and sampling begin."""
    return EPSILON_START if objective == "epsilon" else 0.0


def times(steps: int, objective: Objective = "flow") -> Tensor:
    """Border of `steps` sampling steps: (steps + 1,), from the objective's start to 1."""
    return torch.linspace(start(objective), 1, steps + 1)


def begin(noise: Tensor, objective: Objective = "flow") -> Tensor:
    """Where sampling starts: noise, as wide as motion of unit variance is at the objective's start."""
    time = start(objective)
    return noise * math.hypot(1 - time, time)


def interpolate(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """The point at `time` (B, 1, 1) on the path from noise to clean, both (B, T, K)."""
    return noise + time * (clean - noise)


def target(clean: Tensor, noise: Tensor, objective: Objective = "flow") -> Tensor:
    """What the denoiser is to predict, at any time: (B, T, K)."""
    if objective == "x0":
        return clean
    return noise if objective == "epsilon" else clean - noise


def clean_estimate(noisy: Tensor, predicted: Tensor, time: Tensor, objective: Objective = "flow") -> Tensor:
    """The clean motion (B, T, K) that a prediction at `time` (B, 1, 1), from the objective's start on, points to."""
    if objective == "x0":
        return predicted
    if objective == "epsilon":
        return (noisy - (1 - time) * predicted) / time
    return noisy + (1 - time) * predicted


def step(noisy: Tensor, predicted: Tensor, time: Tensor, after: Tensor, objective: Objective = "flow") -> Tensor:
    """One sampling step from `time` (below 1) to `after`, both scalars: the noisy motion there."""
    if objective == "x0":
        predicted = (predicted - noisy) / (1 - time)
    elif objective == "epsilon":
        predicted = (noisy - predicted) / time
    return noisy + (after - time) * predicted
