from __future__ import annotations

import torch
from torch import Tensor

from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.shut_lids import are_shut, narrowed

SIDE = 256
SKIN, DARK = 0.5, -0.7
EYE, BROW = 110, 88


def generated(occlusion: float = 1.0) -> GeneratedPixels:
    """Make one frame of skin with a dark band of lids, 8 px at half its depth, and a brow above."""
    rows = torch.arange(SIDE)[:, None].float()
    columns = torch.arange(SIDE)[None].float()
    band = torch.exp(-(((rows - EYE) / 4.8) ** 2)) * ((columns - 95).abs() < 14)
    brow = ((rows - BROW).abs() < 5) * ((columns - 95).abs() < 20)
    colour = (SKIN + (DARK - SKIN) * (band + 0.7 * brow)).expand(1, 3, -1, -1).contiguous()
    shares = torch.where((rows - EYE).abs() < 14, occlusion, 0.5).expand(1, 1, -1, SIDE).contiguous()
    return GeneratedPixels(colour, shares)


def thickness(one: GeneratedPixels) -> int:
    """Count the rows of the lids that are nearer to dark than to skin."""
    return int((one.colour[0, 0, EYE - 12 : EYE + 13, 95] < (SKIN + DARK) / 2).sum())


def closure(value: float) -> Tensor:
    return torch.tensor([value])


def test_a_dark_band_becomes_a_line_and_nothing_gets_darker() -> None:
    before = generated()
    after = narrowed(before, closure(1.0))
    assert (thickness(before), thickness(after)) == (7, 5)
    assert bool((after.colour >= before.colour - 1e-6).all())
    torch.testing.assert_close(after.colour[..., EYE, 95], before.colour[..., EYE, 95])
    assert after.colour[0, 0, EYE - 6 : EYE - 4, 95].mean() > before.colour[0, 0, EYE - 6 : EYE - 4, 95].mean() + 0.1


def test_brows_and_pixels_of_the_source_keep_their_light() -> None:
    before = generated()
    after = narrowed(before, closure(1.0))
    rows = slice(BROW - 8, BROW + 7)
    assert torch.equal(after.colour[..., rows, :], before.colour[..., rows, :])
    moved = generated(occlusion=0.5)
    assert torch.equal(narrowed(moved, closure(1.0)).colour, moved.colour)


def test_lids_that_are_half_shut_or_open_are_not_changed() -> None:
    before = generated()
    for value in (0.0, 0.5):
        assert narrowed(before, closure(value)) is before
    assert thickness(narrowed(before, closure(0.6))) in {6, 7}


def test_each_frame_has_its_own_closure() -> None:
    both = GeneratedPixels(*(part.repeat(2, 1, 1, 1) for part in generated()))
    open_, shut = narrowed(both, torch.tensor([0.0, 1.0])).colour
    assert torch.equal(open_, both.colour[0])
    assert torch.equal(shut, narrowed(generated(), closure(1.0)).colour[0])


def test_both_eyes_must_be_covered_by_lids() -> None:
    occlusion = torch.zeros(1, 1, SIDE, SIDE)
    occlusion[..., 100:120, 80:110] = 1
    assert not are_shut(occlusion)
    occlusion[..., 100:120, 150:180] = 1
    assert are_shut(occlusion)
