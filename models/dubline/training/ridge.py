"""Ridge regression: least squares with a penalty on large weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def regress(given: Tensor, wanted: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Fit the affine map with wanted ~ weight @ given + offset.

    Args:
        given: (N, Q).
        wanted: (N, P).
        penalty: factor of the squared weights beside the sum of squared errors over all N.

    Returns:
        Weight (P, Q) and offset (P,).
    """
    given_mean, wanted_mean = given.mean(0), wanted.mean(0)
    centred = given - given_mean
    ridge = penalty * torch.eye(given.shape[1], device=given.device)
    weight = torch.linalg.solve(centred.mT @ centred + ridge, centred.mT @ (wanted - wanted_mean)).mT
    return weight, wanted_mean - weight @ given_mean
