"""The lip gap of source frames is fitted to several kinds of faces, whatever their number."""

from __future__ import annotations

import torch

from dubline.models.motion.readout import LinearReadout
from dubline.training.source_gap import fit_source_gap

SIZE = 8


def test_the_gap_of_latents_is_found_again() -> None:
    torch.manual_seed(0)
    weight = torch.randn(SIZE)
    kinds = [[(latents, latents @ weight + 2)] for latents in torch.randn(2, 500, SIZE)]
    readout = LinearReadout(SIZE)
    readout.source_gap.copy_(fit_source_gap(kinds))
    latent = torch.full((SIZE,), 0.1)
    assert abs(readout.gap_of(latent) - float(latent @ weight + 2)) < 0.1


def test_a_gap_is_never_negative_and_unknown_without_a_fit() -> None:
    readout = LinearReadout(SIZE)
    assert readout.gap_of(torch.zeros(SIZE)) is None
    readout.source_gap[-1] = -1.0
    assert readout.gap_of(torch.zeros(SIZE)) == 0


def test_few_portraits_count_as_much_as_many_clips() -> None:
    torch.manual_seed(0)
    many, few = torch.randn(2000, SIZE), torch.randn(20, SIZE)
    fitted = fit_source_gap([[(many, torch.zeros(2000))], [(few, torch.ones(20))]])
    assert abs(float(fitted[-1]) - 0.5) < 0.1
