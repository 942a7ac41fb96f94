"""Weight of the adversarial loss that follows the gradients, as in VQGAN (Esser et al., 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

#: Interval in steps at which gradients are measured, and the share of the newest measurement.
STEPS: Final = 10
NEWEST: Final = 0.1
#: Largest ratio that is believed: with a discriminator that is sure of all crops the adversarial gradient vanishes.
MOST: Final = 50.0
SMALLEST_NORM: Final = 1e-6
ALL: Final = slice(None)


class GradientBalance:
    """Follows the ratio of two losses' gradients at one layer, a companion of the training session."""

    def __init__(self) -> None:
        self.steps, self.ratio = 0, 1.0

    def update(self, adversarial: Tensor, others: Tensor, layer: Tensor, rows: slice = ALL) -> float:
        """Measure the gradients if it is time to, and return the ratio.

        Args:
            adversarial: loss, a scalar.
            others: loss, a scalar.
            layer: weights of the output layer, on which both depend.
            rows: of the layer that count.

        Returns:
            Norm of the gradient of `others` over that of `adversarial`, averaged over the measurements.
        """
        if self.steps % STEPS == 0:
            measured = _ratio(adversarial, others, layer, rows)
            self.ratio = measured if self.steps == 0 else self.ratio + NEWEST * (measured - self.ratio)
        self.steps += 1
        return self.ratio

    def state_dict(self) -> dict[str, Any]:
        """Return all state for resuming."""
        return {"steps": self.steps, "ratio": self.ratio}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.steps, self.ratio = state["steps"], state["ratio"]


def _ratio(adversarial: Tensor, others: Tensor, layer: Tensor, rows: slice) -> float:
    norms = [torch.autograd.grad(loss, layer, retain_graph=True)[0][rows].norm() for loss in (others, adversarial)]
    return float((norms[0] / norms[1].clamp_min(SMALLEST_NORM)).nan_to_num(1.0).clamp(max=MOST))
