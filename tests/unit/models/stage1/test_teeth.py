"""The row of teeth that is drawn between open lips."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dubline.models.layers import pixel_middles
from dubline.models.stage1 import teeth as module
from dubline.models.stage1.mouth_colour import luma
from dubline.models.stage1.mouth_motion import mouth_motion
from dubline.models.stage1.teeth import BRIGHTNESS, EDGE, GAPS, LIKELY, PLANES, Teeth, drawn, place_in_row

SIDE = 128
BOX = slice(SIDE), slice(SIDE)
#: The box of the mouth; its line is above the middle that is known.
LINE, CENTRE, WIDTH = 0.1, torch.tensor([[0.0, 0.15]]), torch.tensor([[0.6]])
DARK = torch.full((1, 3, SIDE, SIDE), -1.0)
EVERYWHERE = torch.ones(1, 1, SIDE, SIDE)


def middles() -> Tensor:
    return pixel_middles(SIDE, SIDE, torch.device("cpu"))[None]


def places(head: tuple[float, float]) -> Tensor:
    """Return the places of pixels in the head's frame; heads move against their displacement."""
    return middles() + torch.tensor(head).view(1, 2, 1, 1)


def motion(gap: float, parted: float = 0.0, head: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Return that of a jaw that goes down: lips that are parted by `parted` in the source are so by `gap`."""
    y = places(head)[:, 1:]
    down = torch.cat([0 * y, (parted - gap) * ((y - LINE) / gap).clamp(0, 1)], dim=1)
    return mouth_motion(down + torch.tensor(head).view(1, 2, 1, 1), BOX, CENTRE, WIDTH)


def opening(gap: float, head: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Return an opening of the mouth's whole width."""
    x, y = places(head).split(1, dim=1)
    return ((y > LINE) & (y < LINE + gap) & (x.abs() < WIDTH / 2)).float()


def teeth(mask: Tensor, brightness: float = 1.0) -> Teeth:
    return Teeth(2 * mask - 1, torch.full_like(mask, brightness))


def draw(gap: float, parted: float = 0.0, head: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Draw white light's teeth over black: their luma (H, W)."""
    picture = drawn(DARK, teeth(opening(gap, head)), motion(gap, parted, head), -DARK, EVERYWHERE)
    return luma(picture)[0, 0]


def length(picture: Tensor) -> float:
    """Return the length of the incisors, in widths of the mouth."""
    beside = round(SIDE / 2 + GAPS[1] / 2 * float(WIDTH) * SIDE / 2)
    return float((picture[:, beside] > 0.3).sum()) * 2 / SIDE / float(WIDTH)


def test_no_teeth_are_told_by_a_network_that_knows_of_none() -> None:
    found = Teeth.read(torch.zeros(1, PLANES, 8, 8))
    assert not found.opening.any()
    assert found.brightness.numpy() == pytest.approx(BRIGHTNESS)


def test_an_opening_is_sure_where_its_logit_is_large() -> None:
    outputs = torch.zeros(1, PLANES, 1, 3)
    outputs[0, 0, 0] = LIKELY + torch.tensor([-2.0, 0.0, 2.0])
    assert Teeth.read(outputs).opening.flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("gap", [0.2, 0.35])
def test_teeth_end_where_those_of_people_do_however_far_the_mouth_opens(gap: float) -> None:
    assert length(draw(gap)) == pytest.approx(EDGE, abs=0.03)


def test_teeth_of_parted_lips_hang_from_the_upper_one() -> None:
    assert length(draw(0.35, parted=0.06)) == pytest.approx(EDGE, abs=0.03)


def test_hardly_parted_lips_show_no_teeth() -> None:
    brightest = [draw(gap).max().item() for gap in (0.02, 0.06, 0.3)]
    assert brightest[0] < 0.5 * brightest[2]
    assert brightest[0] < brightest[1]
    assert draw(0.0).max() == 0


def test_the_row_stays_with_the_head() -> None:
    pixels = 6
    there = draw(0.3, head=(0.0, -pixels * 2 / SIDE))
    torch.testing.assert_close(there[pixels:-pixels], draw(0.3)[: -2 * pixels], atol=0.02, rtol=0)


def test_what_is_beside_the_opening_and_below_the_row_stays() -> None:
    mask = opening(0.3)
    generated = torch.rand(DARK.shape, generator=torch.Generator().manual_seed(0))
    changed = (drawn(generated, teeth(mask), motion(0.3), -DARK, EVERYWHERE) - generated).abs().sum(1)
    assert not changed[mask[:, 0] == 0].any()
    below = (middles()[:, 1] > LINE + 1.3 * EDGE * float(WIDTH)) & (mask[:, 0] > 0)
    assert below.any()
    assert changed[below].max() < 1e-6
    assert changed.max() > 0.3
    assert torch.equal(drawn(generated, teeth(0 * mask), motion(0.3), -DARK, EVERYWHERE), generated)


def test_openings_away_from_the_mouth_draw_nothing_and_move_nothing() -> None:
    mask, weight = opening(0.3), (middles()[:, 1:] > -0.3).float()
    stray = torch.maximum(mask, 1 - weight)
    expected, found = (drawn(DARK, teeth(part), motion(0.3), -DARK, weight) for part in (mask, stray))
    torch.testing.assert_close(found[..., SIDE // 2 :, :], expected[..., SIDE // 2 :, :])
    assert not (found + 1)[..., : SIDE // 4, :].any()


def test_teeth_have_the_light_of_what_is_around() -> None:
    skin = torch.tensor([0.6, 0.2, -0.1])[:, None, None].expand_as(DARK)
    planes = motion(0.3)
    bright, dim = (drawn(DARK, teeth(opening(0.3)), planes, light, EVERYWHERE) for light in (skin, (skin - 1) / 2))
    row = luma(bright) > 0.5 * luma(bright).max()
    assert ((luma(dim) / luma(bright))[row]).numpy() == pytest.approx(0.5, abs=1e-4)
    red, green, blue = ((bright[:, channel, None] + 1)[row].mean().item() for channel in range(3))
    assert red > green > blue
    assert red / blue < 1.6 / 0.9
    (grey,) = drawn(DARK, teeth(opening(0.3)), planes, 0 * skin, EVERYWHERE)
    assert (grey - grey[:1]).abs().max() < 1e-6


def test_gaps_between_teeth_are_darker_and_so_are_its_sides() -> None:
    across = torch.stack([torch.linspace(-0.5, 0.5, 1001), torch.zeros(1001)])[None, :, None]
    (shading,) = module.row_shading(across).reshape(1, -1)
    minima = (shading[1:-1] < shading[:-2]) & (shading[1:-1] <= shading[2:])
    found = across[0, 0, 0][1:-1][minima]
    expected = sorted({*GAPS, *(-gap for gap in GAPS)})
    assert found.tolist() == pytest.approx(expected, abs=0.02)
    assert shading[540] == shading.max() or shading.max() - shading[540] < 0.05
    assert shading[960] < 0.6


def test_corners_of_teeth_are_rounded_and_canines_are_higher() -> None:
    def ends(x: float) -> float:
        """Return where the row ends at a distance from the midline, in widths of the mouth."""
        y = torch.linspace(0, 0.2, 2001)
        covered = module.presence(torch.stack([torch.full_like(y, x), y])[None, :, :, None])[0, 0, :, 0]
        return float(y[covered > 0.5].max())

    middle = GAPS[1] / 2
    assert ends(middle) == pytest.approx(EDGE, abs=0.005)
    for beside in (0.003, GAPS[1] - 0.003):
        assert ends(beside) < ends(middle) - 0.02
    assert ends((GAPS[2] + GAPS[3]) / 2) < ends(middle) - 0.015


def test_a_faint_opening_hardly_moves_the_row() -> None:
    found = opening(0.3)
    above = (middles()[:, 1:] < LINE) & (middles()[:, 1:] > LINE - 0.1)
    places_of = [place_in_row(motion(0.3), torch.maximum(found, part * above))[:, 1] for part in (0.0, 0.1)]
    assert (places_of[0] - places_of[1]).abs().max() < 0.02


def test_lips_shade_what_is_close_to_them() -> None:
    shading = module.contact_shading(opening(0.4))[0, 0]
    rows = (opening(0.4)[0, 0, :, SIDE // 2] > 0).nonzero().flatten()
    assert shading[rows[0], SIDE // 2] < 0.9
    assert shading[rows[len(rows) // 2], SIDE // 2] == 1


def test_a_box_without_an_opening_has_finite_places() -> None:
    assert place_in_row(motion(0.3), 0 * EVERYWHERE).isfinite().all()
