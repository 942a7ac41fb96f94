from __future__ import annotations

import torch
from torch import Tensor

from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.shut_lids import are_shut, with_lash_lines

SIDE = 256
SKIN, DARK = 0.5, -0.7
EYE, BROW = 110, 88


def generated(occlusion: float = 1.0, iris: float = 0.0) -> GeneratedPixels:
    """Make one frame of skin with a dark band of lids, 8 px at half its depth, and a brow above.

    Where an iris was the band is darker and a little broader.
    """
    rows = torch.arange(SIDE)[:, None].float()
    columns = torch.arange(SIDE)[None].float()
    middle = EYE + 0.01 * (columns - 95).square()
    spot = iris * torch.exp(-(((columns - 95) / 5) ** 2))
    band = torch.exp(-(((rows - middle) / (4.8 + 0.5 * spot)) ** 2)) * ((columns - 95).abs() < 14) * (0.6 + 0.4 * spot)
    brow = ((rows - BROW).abs() < 5) * ((columns - 95).abs() < 20)
    colour = (SKIN + (DARK - SKIN) * (band + 0.7 * brow)).expand(1, 3, -1, -1).contiguous()
    shares = torch.where((rows - EYE).abs() < 14, occlusion, 0.5).expand(1, 1, -1, SIDE).contiguous()
    return GeneratedPixels(colour, shares)


def line_at(one: GeneratedPixels, column: int) -> tuple[float, int, int]:
    """Return the darkness of the lids in a column, the row of the darkest pixel, and the rows of half its darkness."""
    dark = SKIN - one.colour[0, 0, EYE - 12 : EYE + 13, column]
    return float(dark.max()), EYE - 12 + int(dark.argmax()), int((dark > dark.max() / 2).sum())


def closure(value: float) -> Tensor:
    return torch.tensor([value])


def test_a_dark_band_becomes_a_line_along_its_middle() -> None:
    before, after = generated(), with_lash_lines(generated(), closure(1.0))
    for column in (86, 95, 104):
        (dark, row, thickness), (line, line_row, line_thickness) = (line_at(one, column) for one in (before, after))
        assert thickness >= 7
        assert line_thickness == 3
        assert abs(line_row - row) <= 1
        assert 0.6 * dark < line < 1.25 * dark


def test_a_line_is_as_dark_where_the_iris_was_as_beside_it() -> None:
    before, after = generated(iris=1.0), with_lash_lines(generated(iris=1.0), closure(1.0))
    assert line_at(before, 95)[0] > 1.5 * line_at(before, 105)[0]
    assert line_at(after, 95)[0] < 1.25 * line_at(after, 105)[0]
    assert line_at(after, 95)[2] <= 4


def test_lines_are_the_same_in_bf16() -> None:
    before = generated(iris=1.0)
    expected = with_lash_lines(before, closure(1.0)).colour
    with torch.autocast("cpu", torch.bfloat16):
        found = with_lash_lines(GeneratedPixels(*(part.bfloat16() for part in before)), closure(1.0)).colour
    assert (found.float() - expected).abs().max() < 0.02


def test_eyes_without_a_dark_band_stay_skin() -> None:
    plain = generated()
    plain = plain._replace(colour=torch.full_like(plain.colour, SKIN))
    torch.testing.assert_close(with_lash_lines(plain, closure(1.0)).colour, plain.colour)


def test_brows_and_pixels_of_the_source_keep_their_light() -> None:
    before = generated()
    after = with_lash_lines(before, closure(1.0))
    rows = slice(BROW - 8, BROW + 7)
    assert torch.equal(after.colour[..., rows, :], before.colour[..., rows, :])
    moved = generated(occlusion=0.5)
    assert torch.equal(with_lash_lines(moved, closure(1.0)).colour, moved.colour)


def test_lids_that_are_half_shut_or_open_are_not_changed() -> None:
    before = generated()
    for value in (0.0, 0.5):
        assert with_lash_lines(before, closure(value)) is before
    thickness = line_at(with_lash_lines(before, closure(0.6)), 95)[2]
    assert 3 < thickness <= 8


def test_each_frame_has_its_own_closure() -> None:
    both = GeneratedPixels(*(part.repeat(2, 1, 1, 1) for part in generated()))
    open_, shut = with_lash_lines(both, torch.tensor([0.0, 1.0])).colour
    assert torch.equal(open_, both.colour[0])
    assert torch.equal(shut, with_lash_lines(generated(), closure(1.0)).colour[0])


def test_both_eyes_must_be_covered_by_lids() -> None:
    occlusion = torch.zeros(1, 1, SIDE, SIDE)
    occlusion[..., 100:120, 80:110] = 1
    assert not are_shut(occlusion)
    occlusion[..., 100:120, 150:180] = 1
    assert are_shut(occlusion)
