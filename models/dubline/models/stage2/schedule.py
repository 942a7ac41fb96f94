"""The noise schedule: training targets and sampling steps on straight paths from noise to data. Pure functions.

All three objectives use the path x(t) = (1 - t) noise + t clean, with noise at time 0 and data at time 1. On a straight
path the deterministic DDIM step, which adds the estimated noise to the clean estimate, equals the Euler step along the
implied velocity: t' c + (1 - t') (x - t c) / (1 - t) = x + (t' - t) (c - x) / (1 - t). So one sampler serves all
objectives, ablations differ in the objective only, and there is no second schedule to tune.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.presets import Objective

#: Start time of the noise objective. At time 0 a noise prediction has no information about the data; at .1 a tenth of
#: the data is visible and an error of the prediction counts nine times in the clean estimate. Later starts lose large
#: motion.
EPSILON_START: Final = 0.1


def start(objective: Objective) -> float:
    """Return the time at which training and sampling start."""
    return EPSILON_START if objective == "epsilon" else 0.0


def times(steps: int, objective: Objective = "flow") -> Tensor:
    """Return the times (steps + 1,) between sampling steps, from the objective's start to 1."""
    return torch.linspace(start(objective), 1, steps + 1)


def begin(noise: Tensor, objective: Objective = "flow") -> Tensor:
    """Scale noise to the standard deviation of noisy motion of unit variance at the objective's start."""
    time = start(objective)
    return noise * math.hypot(1 - time, time)


def interpolate(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """Return the point at `time` (B, 1, 1) on the path from noise to clean, both (B, T, K)."""
    return noise + time * (clean - noise)


def target(clean: Tensor, noise: Tensor, objective: Objective = "flow") -> Tensor:
    """Return the target of the denoiser (B, T, K); it is the same at all times."""
    if objective == "x0":
        return clean
    return noise if objective == "epsilon" else clean - noise


def clean_estimate(noisy: Tensor, predicted: Tensor, time: Tensor, objective: Objective = "flow") -> Tensor:
    """Estimate clean motion (B, T, K) from a prediction at `time` (B, 1, 1), not before the objective's start."""
    if objective == "x0":
        return predicted
    if objective == "epsilon":
        return (noisy - (1 - time) * predicted) / time
    return noisy + (1 - time) * predicted


def step(noisy: Tensor, predicted: Tensor, time: Tensor, after: Tensor, objective: Objective = "flow") -> Tensor:
    """Take one sampling step from `time` (below 1) to `after`, both scalars; return the noisy motion there."""
    if objective == "x0":
        predicted = (predicted - noisy) / (1 - time)
    elif objective == "epsilon":
        predicted = (noisy - predicted) / time
    return noisy + (after - time) * predicted
