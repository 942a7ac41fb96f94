"""The weight of the adversarial loss follows the gradients at the output layer."""

from __future__ import annotations

import pytest
import torch

from dubline.training.mouth.balance import MOST, NEWEST, STEPS, GradientBalance

LAYER = torch.zeros(2, requires_grad=True)


def test_the_ratio_makes_both_gradients_equally_large() -> None:
    adversarial, others = LAYER @ torch.tensor([0.3, 0.4]), LAYER @ torch.tensor([0.0, 2.0])
    ratio = GradientBalance().update(adversarial, others, LAYER)
    (scaled,) = torch.autograd.grad(ratio * adversarial, LAYER)
    assert scaled.norm().item() == pytest.approx(2.0)


def test_later_measurements_change_the_ratio_slowly_and_are_rare() -> None:
    balance, one = GradientBalance(), torch.tensor([1.0, 0.0])
    assert balance.update(LAYER @ one, LAYER @ one, LAYER) == 1
    later = [balance.update(LAYER @ one, LAYER @ (3 * one), LAYER) for _ in range(STEPS)]
    assert later[:-1] == [1.0] * (STEPS - 1)
    assert later[-1] == pytest.approx(1 + 2 * NEWEST)


def test_a_vanishing_gradient_gives_a_bounded_ratio() -> None:
    one = torch.tensor([1.0, 0.0])
    assert GradientBalance().update(LAYER @ (0 * one), LAYER @ one, LAYER) == MOST


def test_its_state_is_restored() -> None:
    first, second, one = GradientBalance(), GradientBalance(), torch.tensor([1.0, 0.0])
    first.update(LAYER @ one, LAYER @ (3 * one), LAYER)
    second.load_state_dict(first.state_dict())
    assert (second.steps, second.ratio) == (1, 3.0)
