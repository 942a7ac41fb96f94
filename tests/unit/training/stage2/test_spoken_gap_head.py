"""The auxiliary reading of the lip gap that trains the articulation extractor."""

from __future__ import annotations

import pytest
import torch

from dubline.training.stage2.spoken_gap_head import LEAST_SPREAD_CM, SpokenGapHead

CPU = torch.device("cpu")


def windows(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return articulation (8, 4 + 20, 6), whose first value is the gap, and the gap (8, 20) above a source's."""
    torch.manual_seed(seed)
    articulation = torch.randn(8, 24, 6)
    return articulation, articulation[:, 4:, 0] - 3 * torch.rand(8, 1)


def test_the_head_learns_the_gap_whatever_the_source_has() -> None:
    head = SpokenGapHead(6, CPU)
    first = head.loss(*windows(0)).item()
    for step in range(60):
        head.loss(*windows(step)).backward()  # type: ignore[no-untyped-call]
        head.step(0.05)
    assert head.loss(*windows(9999)).item() < 0.02 * first
    assert abs(head.head.weight[0, 0].item() - 1) < 0.05


def test_the_loss_trains_the_frames_of_the_window_alone() -> None:
    articulation, gap = windows(1)
    articulation.requires_grad_()
    SpokenGapHead(6, CPU).loss(articulation, gap).backward()  # type: ignore[no-untyped-call]
    assert articulation.grad is not None
    assert not articulation.grad[:, :4].any()
    assert articulation.grad[:, 4:].abs().amin(2).gt(0).all()


def test_still_lips_do_not_outweigh_those_that_speak() -> None:
    articulation, gap = windows(2)
    head = SpokenGapHead(6, CPU)
    assert head.loss(articulation, gap * 0).item() < 200


@pytest.mark.parametrize(("deviations", "expected"), [(0.5, 0.25), (3.0, 5.0)])
def test_errors_above_a_standard_deviation_count_linearly(deviations: float, expected: float) -> None:
    head = SpokenGapHead(1, CPU)
    with torch.no_grad():
        head.head.weight.fill_(1)
    read = deviations * LEAST_SPREAD_CM * torch.tensor([1.0, -1.0]).repeat(10)
    assert head.loss(read[None, :, None], torch.zeros(1, 20)).item() == pytest.approx(expected)


def test_a_resumed_head_continues_with_its_moments() -> None:
    whole, first = SpokenGapHead(6, CPU), SpokenGapHead(6, CPU)
    first.head.load_state_dict(whole.head.state_dict())
    for head in (whole, first):
        head.loss(*windows(3)).backward()  # type: ignore[no-untyped-call]
        head.step(1e-3)
    resumed = SpokenGapHead(6, CPU)
    resumed.load_state_dict(first.state_dict())
    for head in (whole, resumed):
        head.loss(*windows(4)).backward()  # type: ignore[no-untyped-call]
        head.step(1e-3)
    assert torch.equal(whole.head.weight, resumed.head.weight)


def test_a_step_with_overflowing_gradients_keeps_the_weights_finite() -> None:
    head = SpokenGapHead(6, CPU)
    (head.head(torch.full((2, 6), 1e30)).square().square().sum()).backward()
    head.step(1e-3)
    assert all(parameter.isfinite().all() for parameter in head.head.parameters())
