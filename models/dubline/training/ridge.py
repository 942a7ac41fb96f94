"""Ridge regression: least squares at a price for large weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def regress(given: Tensor, wanted: Tensor, price: float) -> tuple[Tensor, Tensor]:
    """The affine map with wanted ~ weight @ given + offset.

    Args:
        given: (N, Q).
        wanted: (N, P).
        price: of the weights' squares, beside the squared errors' sum over all N.

    Returns:
        Weight (P, Q) and offset (P,).
    """
    middle, mean = given.mean(0), wanted.mean(0)
    centred = given - middle
    ridge = price * torch.eye(given.shape[1], device=given.device)
    weight = torch.linalg.solve(centred.mT @ centred + ridge, centred.mT @ (wanted - mean)).mT
    return weight, mean - weight @ middle
