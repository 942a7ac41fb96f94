from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dubline.training.stage1.losses.discriminator import RAMP_STEPS, AdversarialLoss, Discriminator

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def crops(count: int, generator: torch.Generator, *, sharp: bool) -> Tensor:
    noise = torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1
    # Equal in mean and, about, in contrast: only the grain tells them apart.
    return noise if sharp else (3 * functional.avg_pool2d(noise, 3, 1, padding=1)).clamp(-1, 1)


def taught(steps: int) -> AdversarialLoss:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    adversary = AdversarialLoss(CPU, learning_rate=2e-3)
    for _ in range(steps):
        adversary.step(crops(8, generator, sharp=True), crops(8, generator, sharp=False))
    return adversary


@pytest.fixture(scope="module")
def adversary() -> AdversarialLoss:
    return taught(40)


def test_it_learns_to_tell_grain_from_blur(adversary: AdversarialLoss) -> None:
    unseen = torch.Generator().manual_seed(1)
    real, fake = crops(16, unseen, sharp=True), crops(16, unseen, sharp=False)
    verdicts = [adversary.network(batch)[0].mean((1, 2, 3)) for batch in (real, fake)]
    assert (verdicts[0] > verdicts[1].max()).all()


def test_descending_its_loss_makes_blur_look_real(adversary: AdversarialLoss) -> None:
    unseen = torch.Generator().manual_seed(1)
    real, fake = crops(4, unseen, sharp=True), crops(4, unseen, sharp=False).requires_grad_()
    before = adversary.network(fake)[0].mean().item()
    loss = adversary.loss(fake, real)
    (slope,) = torch.autograd.grad(loss, fake)
    better = fake - 0.05 * slope.sign()
    assert adversary.network(better)[0].mean().item() > before


def test_gradients_of_the_loss_reach_the_rendered_crops_only(adversary: AdversarialLoss) -> None:
    adversary.optimiser.zero_grad()
    real = torch.rand(2, 3, 32, 32, requires_grad=True)
    fake = torch.rand(2, 3, 32, 32, requires_grad=True)
    adversary.loss(fake, real).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in adversary.network.parameters())


def test_a_step_sends_no_gradient_to_the_renderer() -> None:
    fake = torch.rand(2, 3, 32, 32, requires_grad=True)
    AdversarialLoss(CPU).step(torch.rand(2, 3, 32, 32), fake)
    assert fake.grad is None


def test_nobody_listens_to_an_untaught_critic() -> None:
    fresh, older = taught(0), taught(1)
    fake, real = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert fresh.loss(fake, real).item() == 0
    assert 0 < abs(older.loss(fake, real).item()) < 10 / RAMP_STEPS


def test_it_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    first = taught(3)
    torch.save(first.state_dict(), tmp_path / "adversary.pt")
    second = AdversarialLoss(CPU, learning_rate=2e-3)
    second.load_state_dict(torch.load(tmp_path / "adversary.pt", weights_only=True))
    real, fake = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(first.step(real, fake), second.step(real, fake))
    torch.testing.assert_close(first.loss(fake, real), second.loss(fake, real))
    assert second.steps == 4


def test_an_overflow_does_not_end_the_run() -> None:
    adversary = taught(1)
    adversary.step(torch.full((2, 3, 32, 32), float("inf")), torch.rand(2, 3, 32, 32))
    assert all(parameter.isfinite().all() for parameter in adversary.network.parameters())


def test_it_runs_under_autocast() -> None:
    adversary = taught(1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = adversary.step(torch.rand(2, 3, 48, 80), torch.rand(2, 3, 48, 80))
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_a_picture_moves_the_verdict_no_further_than_itself() -> None:
    torch.manual_seed(0)
    network = Discriminator()
    for _ in range(20):  # the norm is found by iteration
        network(torch.rand(1, 3, 32, 32))
    first, second = torch.rand(2, 1, 3, 32, 32)
    moved = network(first)[0] - network(second)[0]
    # A layer's norm is that of its kernel as a matrix; as a convolution overlapping kernels add up to side / stride.
    assert moved.norm() <= (first - second).norm() * 2**3 * 3


def test_verdicts_are_of_patches() -> None:
    verdicts, features = Discriminator()(torch.zeros(1, 3, 48, 80))
    assert verdicts.shape == (1, 1, 6, 10)
    assert [tuple(each.shape[1:]) for each in features] == [(32, 24, 40), (64, 12, 20), (128, 6, 10)]
