"""The adversary of the part for mouths: learning, penalty, gradients, state and overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dubline.training.mouth import adversary as module
from dubline.training.mouth.adversary import PENALTY_STEPS, Adversary, gradient_penalty
from dubline.training.mouth.discriminator import CHANNELS, WIDTHS, Discriminator

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def crops(count: int, generator: torch.Generator, *, sharp: bool) -> Tensor:
    noise = torch.rand(count, CHANNELS, 32, 32, generator=generator) * 2 - 1
    # Almost equal in mean and contrast: only the texture differs.
    return noise if sharp else (3 * functional.avg_pool2d(noise, 3, 1, padding=1)).clamp(-1, 1)


def trained(steps: int) -> Adversary:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    adversary = Adversary(CPU)
    for _ in range(steps):
        adversary.step(crops(8, generator, sharp=True), crops(8, generator, sharp=False))
    return adversary


@pytest.fixture(scope="module")
def adversary() -> Adversary:
    return trained(80)


def test_it_learns_to_separate_grain_from_blur(adversary: Adversary) -> None:
    unseen = torch.Generator().manual_seed(1)
    real, fake = crops(16, unseen, sharp=True), crops(16, unseen, sharp=False)
    logits = [adversary.network(batch)[0].mean((1, 2, 3)) for batch in (real, fake)]
    assert logits[0].min() > 0 > logits[1].max()


def test_gradient_descent_on_its_loss_raises_the_logits(adversary: Adversary) -> None:
    unseen = torch.Generator().manual_seed(1)
    real, fake = crops(4, unseen, sharp=True), crops(4, unseen, sharp=False).requires_grad_()
    before = adversary.network(fake)[0].mean().item()
    for loss in adversary.verdict(fake, real):
        (slope,) = torch.autograd.grad(loss, fake, retain_graph=True)
        better = fake - 0.05 * slope.sign()
        assert adversary.network(better)[0].mean().item() > before


def test_gradients_of_the_losses_reach_the_generated_crops_only(adversary: Adversary) -> None:
    adversary.optimiser.zero_grad()
    real = torch.rand(2, CHANNELS, 32, 32, requires_grad=True)
    fake = torch.rand(2, CHANNELS, 32, 32, requires_grad=True)
    sum(adversary.verdict(fake, real), torch.zeros(())).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in adversary.network.parameters())


def test_a_step_sends_no_gradient_to_the_refiner() -> None:
    real, fake = (torch.rand(2, CHANNELS, 32, 32, requires_grad=True) for _ in range(2))
    Adversary(CPU).step(real, fake)
    assert real.grad is fake.grad is None


class Linear(nn.Module):
    """A discriminator whose logits are weighted sums of the channels of a pixel."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))

    def forward(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        return (crops * self.weights[:, None, None]).sum(1, keepdim=True), []


def test_the_penalty_is_half_the_squared_norm_of_the_gradient() -> None:
    network = Linear([3.0, 4.0])
    # Each of 8 x 8 pixels has 1/64 of the gradient of the mean: 64 * (5/64)^2 / 2.
    penalty = gradient_penalty(network, torch.rand(6, CHANNELS, 8, 8))  # type: ignore[arg-type]
    assert penalty.item() == pytest.approx(25 / 64 / 2)
    penalty.backward()
    assert network.weights.grad is not None
    torch.testing.assert_close(network.weights.grad, torch.tensor([3.0, 4]) / 64)


def test_the_penalty_is_the_mean_over_crops_of_a_deep_network() -> None:
    torch.manual_seed(0)
    network, real = Discriminator(), torch.rand(3, CHANNELS, 16, 16)
    squares = []
    for crop in real:
        alone = crop[None].requires_grad_()
        (slope,) = torch.autograd.grad(network(alone)[0].mean(), alone)
        squares.append(slope.square().sum())
    torch.testing.assert_close(gradient_penalty(network, real), torch.stack(squares).mean() / 2)


def test_the_penalty_is_applied_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[int]()
    adversary = Adversary(CPU)
    monkeypatch.setattr(module, "gradient_penalty", lambda _, real: calls.append(adversary.steps) or real.sum() * 0)
    for _ in range(2 * PENALTY_STEPS):
        adversary.step(torch.rand(1, CHANNELS, 16, 16), torch.rand(1, CHANNELS, 16, 16))
    assert calls == [0, PENALTY_STEPS]


def test_its_state_restores_weights_moments_and_steps(tmp_path: Path) -> None:
    first = trained(3)
    torch.save(first.state_dict(), tmp_path / "adversary.pt")
    second = Adversary(CPU)
    second.load_state_dict(torch.load(tmp_path / "adversary.pt", weights_only=True))
    real, fake = torch.rand(2, CHANNELS, 32, 32), torch.rand(2, CHANNELS, 32, 32)
    for _ in range(2):
        torch.testing.assert_close(first.step(real, fake), second.step(real, fake))
    torch.testing.assert_close(first.verdict(fake, real), second.verdict(fake, real))
    assert second.steps == 5


def test_an_overflow_does_not_end_the_run() -> None:
    adversary = trained(1)
    adversary.step(torch.full((2, CHANNELS, 32, 32), float("inf")), torch.rand(2, CHANNELS, 32, 32))
    assert all(parameter.isfinite().all() for parameter in adversary.network.parameters())


def test_logits_are_per_patch() -> None:
    logits, features = Discriminator()(torch.zeros(1, CHANNELS, 48, 80))
    assert logits.shape == (1, 1, 6, 10)
    sides = [(24, 40), (12, 20), (6, 10), (6, 10)]
    wanted = [(width, *side) for width, side in zip((*WIDTHS, WIDTHS[-1]), sides, strict=True)]
    assert [tuple(each.shape[1:]) for each in features] == wanted
