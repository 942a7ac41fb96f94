"""Adversarial loss: learning, gradients, state and overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dubline.training.stage1.losses.discriminator import CHANNELS, RAMP_STEPS, AdversarialLoss, Discriminator

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def crops(count: int, generator: torch.Generator, *, sharp: bool) -> Tensor:
    noise = torch.rand(count, CHANNELS, 32, 32, generator=generator) * 2 - 1
    # Almost equal in mean and contrast: only the texture differs.
    return noise if sharp else (3 * functional.avg_pool2d(noise, 3, 1, padding=1)).clamp(-1, 1)


def trained(steps: int) -> AdversarialLoss:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    adversarial = AdversarialLoss(CPU, learning_rate=2e-3)
    for _ in range(steps):
        adversarial.step(crops(8, generator, sharp=True), crops(8, generator, sharp=False))
    return adversarial


@pytest.fixture(scope="module")
def adversarial() -> AdversarialLoss:
    return trained(40)


def test_it_learns_to_separate_grain_from_blur(adversarial: AdversarialLoss) -> None:
    unseen = torch.Generator().manual_seed(1)
    real, fake = crops(16, unseen, sharp=True), crops(16, unseen, sharp=False)
    logits = [adversarial.network(batch)[0].mean((1, 2, 3)) for batch in (real, fake)]
    assert (logits[0] > logits[1].max()).all()


def test_gradient_descent_on_its_loss_raises_the_logits(adversarial: AdversarialLoss) -> None:
    unseen = torch.Generator().manual_seed(1)
    real, fake = crops(4, unseen, sharp=True), crops(4, unseen, sharp=False).requires_grad_()
    before = adversarial.network(fake)[0].mean().item()
    loss = adversarial.loss(fake, real)
    (slope,) = torch.autograd.grad(loss, fake)
    better = fake - 0.05 * slope.sign()
    assert adversarial.network(better)[0].mean().item() > before


def test_gradients_of_the_loss_reach_the_rendered_crops_only(adversarial: AdversarialLoss) -> None:
    adversarial.optimiser.zero_grad()
    real = torch.rand(2, CHANNELS, 32, 32, requires_grad=True)
    fake = torch.rand(2, CHANNELS, 32, 32, requires_grad=True)
    adversarial.loss(fake, real).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in adversarial.network.parameters())


def test_a_step_sends_no_gradient_to_the_renderer() -> None:
    fake = torch.rand(2, CHANNELS, 32, 32, requires_grad=True)
    AdversarialLoss(CPU).step(torch.rand(2, CHANNELS, 32, 32), fake)
    assert fake.grad is None


def test_an_untrained_discriminator_has_no_loss() -> None:
    fresh, older = trained(0), trained(1)
    fake, real = torch.rand(2, CHANNELS, 32, 32), torch.rand(2, CHANNELS, 32, 32)
    assert fresh.loss(fake, real).item() == 0
    assert 0 < abs(older.loss(fake, real).item()) < 10 / RAMP_STEPS


def test_its_state_restores_weights_moments_and_steps(tmp_path: Path) -> None:
    first = trained(3)
    torch.save(first.state_dict(), tmp_path / "adversarial.pt")
    second = AdversarialLoss(CPU, learning_rate=2e-3)
    second.load_state_dict(torch.load(tmp_path / "adversarial.pt", weights_only=True))
    real, fake = torch.rand(2, CHANNELS, 32, 32), torch.rand(2, CHANNELS, 32, 32)
    torch.testing.assert_close(first.step(real, fake), second.step(real, fake))
    torch.testing.assert_close(first.loss(fake, real), second.loss(fake, real))
    assert second.steps == 4


def test_an_overflow_does_not_end_the_run() -> None:
    adversarial = trained(1)
    adversarial.step(torch.full((2, CHANNELS, 32, 32), float("inf")), torch.rand(2, CHANNELS, 32, 32))
    assert all(parameter.isfinite().all() for parameter in adversarial.network.parameters())


def test_it_runs_under_autocast() -> None:
    adversarial = trained(1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = adversarial.step(torch.rand(2, CHANNELS, 48, 80), torch.rand(2, CHANNELS, 48, 80))
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_the_discriminator_is_lipschitz() -> None:
    torch.manual_seed(0)
    network = Discriminator()
    for _ in range(20):  # power iteration of the norm
        network(torch.rand(1, CHANNELS, 32, 32))
    first, second = torch.rand(2, 1, CHANNELS, 32, 32)
    moved = network(first)[0] - network(second)[0]
    # A layer's norm is that of its kernel as a matrix; as a convolution it is at most side / stride times as large.
    assert moved.norm() <= (first - second).norm() * 2**3 * 3


def test_logits_are_per_patch() -> None:
    logits, features = Discriminator()(torch.zeros(1, CHANNELS, 48, 80))
    assert logits.shape == (1, 1, 6, 10)
    assert [tuple(each.shape[1:]) for each in features] == [(32, 24, 40), (64, 12, 20), (128, 6, 10)]
