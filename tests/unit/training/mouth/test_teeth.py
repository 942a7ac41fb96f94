"""What targets show between the lips, and the losses of the teeth that are drawn there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_motion import SCALE
from dubline.models.stage1.teeth import Teeth, drawn
from dubline.training.mouth import teeth as module
from dubline.training.mouth.samples import Samples
from dubline.training.mouth.teeth import BRIGHTER, teeth_losses, visible_teeth
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

SIDE = 96
SKIN, LIP, TOOTH, DARK = (0.3, 0.0, -0.15), (0.1, -0.5, -0.4), (0.2, 0.05, 0.0), (-0.8, -0.9, -0.9)
#: The opening's upper and lower border, and the middle of the mouth, in [-1, 1].
TOP, BOTTOM, WIDTH = -0.1, 0.4, 1.0
ONES = torch.ones(1, 1, SIDE, SIDE)


def middles() -> Tensor:
    axis = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None]


def coloured(colour: tuple[float, float, float]) -> Tensor:
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, SIDE, SIDE)


def sample(inside: Tensor) -> Samples:
    """Return an open mouth; all around it are lips, and its source is skin."""
    landmarks = torch.from_numpy(FRAMED_LANDMARKS).clone()
    for index, (x, y) in enumerate(
        [(-0.5, 0), (-0.25, TOP), (0, TOP), (0.25, TOP), (0.5, 0), (0.25, BOTTOM), (0, BOTTOM), (-0.25, BOTTOM)]
    ):
        landmarks[60 + index] = torch.tensor([x, y])
    x, y = middles().split(1, dim=1)
    mouth = ((y > TOP) & (y < BOTTOM) & (x.abs() < 0.5)).float()
    planes = torch.cat([0 * x, -SCALE * (y - TOP) / WIDTH, 0 * x, x / WIDTH, (y - TOP) / WIDTH], dim=1)
    pictures = torch.cat([torch.zeros(1, 10, SIDE, SIDE), planes], dim=1)
    lips = coloured(LIP)
    target = lips + mouth * (inside - lips)
    return Samples(pictures, ONES, torch.zeros(1, 4), coloured(SKIN), target, landmarks[None])


def where(top: float, bottom: float) -> Tensor:
    """Return a block well within the opening."""
    x, y = middles().split(1, dim=1)
    return (y > top) & (y < bottom) & (x.abs() < 0.2)


def test_bright_pixels_between_the_lips_are_teeth() -> None:
    found = visible_teeth(sample(coloured(TOOTH)))
    assert found.teeth[where(TOP + 0.1, BOTTOM - 0.1)].min() > 0.9
    assert found.opening[where(TOP + 0.1, BOTTOM - 0.1)].min() == 1
    for outside in (where(-1, TOP - 0.1), where(BOTTOM + 0.1, 1)):
        assert not found.teeth[outside].any()
        assert not found.opening[outside].any()


@pytest.mark.parametrize("colour", [DARK, LIP])
def test_what_is_dark_or_red_is_no_tooth(colour: tuple[float, float, float]) -> None:
    found = visible_teeth(sample(coloured(colour)))
    assert found.teeth[where(-1, 1)].max() < 0.1
    assert found.opening[where(TOP + 0.1, BOTTOM - 0.1)].min() == 1


def test_gaps_between_teeth_belong_to_them() -> None:
    gap = (middles()[:, :1].abs() < 3 / SIDE).float()
    inside = coloured(TOOTH) + gap * (coloured(DARK) - coloured(TOOTH))
    assert visible_teeth(sample(inside)).teeth[where(TOP + 0.1, BOTTOM - 0.1)].min() > 0.9


def test_a_row_that_is_drawn_has_the_brightness_that_is_found() -> None:
    samples = sample(coloured(DARK))
    opening = visible_teeth(samples).opening
    brightness = torch.full_like(opening, 0.9)
    target = drawn(samples.target, Teeth(2 * opening - 1, brightness), samples.motion, samples.warped, ONES)
    found = visible_teeth(samples._replace(target=target))
    assert found.row.sum() > 50
    assert found.brightness[found.row > 0.9].median().item() == pytest.approx(0.9 * BRIGHTER, rel=0.05)
    # Teeth that are lower than the row are found, and no row is.
    below = visible_teeth(sample(coloured(TOOTH)))
    low = where(TOP + 0.25, BOTTOM - 0.05)
    assert below.teeth[low].min() > 0.9
    assert not below.row[low].any()


def losses(samples: Samples, *, logit: float, brightness: float, occlusion: float) -> dict[str, float]:
    opening = visible_teeth(samples).opening
    told = Teeth(logit * (2 * opening - 1), torch.full_like(opening, brightness))
    pixels = GeneratedPixels(0 * samples.target, torch.full_like(opening, occlusion))
    found = teeth_losses(samples, pixels, told, visible_teeth(samples), ONES)
    return {name: loss.item() for name, loss in found.items()}


def test_losses_fall_with_what_is_right() -> None:
    samples = sample(coloured(TOOTH))
    row = visible_teeth(samples)
    right = row.brightness[row.row > 0.9].median().item()
    best = losses(samples, logit=8, brightness=right, occlusion=1)
    assert losses(samples, logit=-8, brightness=right, occlusion=1)["opening"] > 10 * best["opening"]
    for wrong in (0.8 * right, 1.25 * right):
        assert losses(samples, logit=8, brightness=wrong, occlusion=1)["brightness"] > 1.3 * best["brightness"]
    assert best["coverage"] == pytest.approx(0, abs=1e-6)
    assert losses(samples, logit=8, brightness=right, occlusion=0.5)["coverage"] > 0.01


def test_teeth_that_the_source_shows_need_no_cover() -> None:
    shown = sample(coloured(TOOTH))
    shown = shown._replace(warped=shown.target)
    assert losses(shown, logit=8, brightness=1, occlusion=0.1)["coverage"] == pytest.approx(0, abs=1e-6)


def test_brightness_is_compared_where_the_row_is_visible_only(monkeypatch: pytest.MonkeyPatch) -> None:
    dark = sample(coloured(DARK))
    assert losses(dark, logit=8, brightness=0.5, occlusion=1)["brightness"] == 0
    monkeypatch.setattr(module, "BRIGHTNESS", 0.0)
    assert losses(sample(coloured(TOOTH)), logit=8, brightness=0.5, occlusion=1)["brightness"] == 0
