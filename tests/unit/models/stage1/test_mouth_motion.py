"""The motion of a mouth relative to the head."""

from __future__ import annotations

import pytest
import torch

from dubline.models.layers import pixel_middles, shown_area
from dubline.models.stage1 import mouth_motion as module
from dubline.models.stage1.mouth_motion import AREAS, BOUND, FARTHEST, SCALE, STRETCHED, mouth_motion

SIDE = 64
BOX = slice(16, 60), slice(8, 56)
CENTRE, WIDTH = torch.tensor([[0.1, 0.4]]), torch.tensor([[0.4]])


def planes(displacement: torch.Tensor) -> torch.Tensor:
    return mouth_motion(displacement, BOX, CENTRE, WIDTH)


def places() -> torch.Tensor:
    return pixel_middles(SIDE, SIDE, torch.device("cpu"))[None]


def opening(gap: float) -> torch.Tensor:
    """Return the displacement of a head whose jaw goes down by a gap below the middle of the mouth."""
    below = ((places()[:, 1:] - CENTRE[0, 1]) / gap).clamp(0, 1)
    return torch.cat([0 * below, -gap * below], dim=1)


def test_a_head_that_moves_as_one_has_no_motion_of_its_own() -> None:
    moved = torch.tensor([0.2, -0.1]).view(1, 2, 1, 1).expand(1, 2, SIDE, SIDE)
    x, y, area, *_ = planes(moved)[0]
    assert torch.stack([x, y]).abs().max() < 1e-6
    assert area.numpy() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("head", [(0.0, 0.0), (0.15, -0.1)])
def test_an_open_mouth_says_how_far_pixels_are_from_the_lips_line(head: tuple[float, float]) -> None:
    x, y, area, *_ = planes(opening(0.2) + torch.tensor(head).view(1, 2, 1, 1))[0]
    middles = places()[0, 1][BOX]
    inside = (middles > CENTRE[0, 1] + 0.05) & (middles < CENTRE[0, 1] + 0.15)
    assert x.abs().max() < 1e-5
    # In widths of the mouth, upwards.
    assert (-y * WIDTH / SCALE)[inside].numpy() == pytest.approx((middles - CENTRE[0, 1])[inside].numpy(), abs=1e-5)
    assert area[inside].abs().max() < 1e-4
    assert y[:8].abs().max() < 1e-5


def test_inputs_are_bounded() -> None:
    folded = 9 * torch.sin(40 * places())
    x, y, area, *place = planes(folded)[0]
    assert torch.stack([x, y]).abs().max() == BOUND
    assert (area.min(), area.max()) == AREAS
    assert torch.stack(place).abs().max() <= FARTHEST


@pytest.mark.parametrize("head", [(0.0, 0.0), (0.15, -0.1)])
def test_places_stay_with_the_head_and_say_what_is_shown(head: tuple[float, float]) -> None:
    shift = torch.tensor(head).view(1, 2, 1, 1)
    found = planes(opening(0.2) + shift)
    own = places()[..., *BOX] + shift - CENTRE[..., None, None]
    torch.testing.assert_close(module.place(found), (own / WIDTH).clamp(-FARTHEST, FARTHEST))
    shown = own + opening(0.2)[..., *BOX]
    near = module.place(found).abs().amax(1, keepdim=True) < FARTHEST
    torch.testing.assert_close(module.shown_place(found) * near, shown / WIDTH * near, atol=1e-5, rtol=0)


def test_pixels_count_as_stretched_by_their_area() -> None:
    begin, end = STRETCHED
    areas = torch.tensor([1.2, begin, (begin + end) / 2, end, -0.5]).view(1, 1, 1, 5)
    found = module.stretched(torch.cat([0 * areas, 0 * areas, areas, 0 * areas, 0 * areas], dim=1))
    assert found.flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)


def test_autocast_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    displacement = (opening(0.3) + 0.05).bfloat16()
    # Autocast rounds no operation here on a CPU, so the results do not show whether it is disabled.
    enabled: list[bool] = []

    def noted(part: torch.Tensor, side: int) -> torch.Tensor:
        enabled.append(torch.is_autocast_enabled("cpu"))
        return shown_area(part, side)

    monkeypatch.setattr(module, "shown_area", noted)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = planes(displacement)
    assert enabled == [False]
    assert rounded.equal(planes(displacement.float()))
