"""Limits the gradients of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

#: Largest norm of all gradients together.
MOST_NORM: Final = 1.0


def limit(parameters: Iterable[Tensor], most: float = MOST_NORM) -> Tensor:
    """Scale gradients to a norm of at most `most`, in place, and return their norm before.

    If one of them overflows, all are set to 0, without waiting for the GPU: it would end the run.
    """
    given = list(parameters)
    norm = nn.utils.clip_grad_norm_(given, most)
    for parameter in given:
        if parameter.grad is not None:
            parameter.grad.nan_to_num_(0, 0, 0)
    return norm
