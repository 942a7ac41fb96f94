"""Generated pixels in a mouth: not greener or yellower than what is around them allows, otherwise unchanged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dubline.models.stage1.mouth_colour import LEAST, LUMA, YELLOW, reddened, whitened

SKIN = (0.76, 0.56, 0.47)


def plain(*rgb: float) -> Tensor:
    """Return a plain picture (1, 3, 4, 4) of RGB from 0 to 1."""
    return (torch.tensor(rgb) * 2 - 1)[None, :, None, None].expand(1, 3, 4, 4).clone()


def reddened_in(around: Tensor, generated: Tensor, weight: float = 1.0) -> Tensor:
    return (reddened(generated, around, torch.full((1, 1, 4, 4), weight)) + 1) / 2


def luma(picture: Tensor) -> Tensor:
    return (picture * torch.tensor(LUMA)[:, None, None]).sum(1)


def test_green_teeth_become_as_red_as_teeth_are_with_their_luma_and_blue() -> None:
    green = plain(0.5, 0.62, 0.52)
    made = reddened_in(plain(*SKIN), green)
    assert torch.allclose(made[:, 0], (1 + LEAST) * luma(made), atol=1e-6)
    assert torch.allclose(luma(made), luma((green + 1) / 2), atol=1e-6)
    assert torch.equal(made[:, 2], (green[:, 2] + 1) / 2)


@pytest.mark.parametrize("rgb", [(0.86, 0.74, 0.68), (0.7, 0.3, 0.35), (0.1, 0.02, 0.01), (0.0, 0.0, 0.0)])
def test_teeth_lips_and_shade_of_ordinary_colours_are_not_changed(rgb: tuple[float, float, float]) -> None:
    assert torch.allclose(reddened_in(plain(*SKIN), plain(*rgb)), (plain(*rgb) + 1) / 2, atol=1e-6)


@pytest.mark.parametrize("light", [(0.3, 0.6, 0.4), (0.4, 0.5, 0.9)])
def test_in_green_and_blue_light_nothing_is_changed(light: tuple[float, float, float]) -> None:
    teeth = tuple(0.9 * part for part in light)
    assert torch.allclose(reddened_in(plain(*light), plain(*teeth)), (plain(*teeth) + 1) / 2, atol=1e-6)


def test_nothing_is_changed_away_from_the_mouth_or_in_a_black_picture() -> None:
    green = plain(0.3, 0.6, 0.3)
    assert torch.allclose(reddened_in(plain(*SKIN), green, weight=0), (green + 1) / 2)
    assert torch.allclose(reddened_in(plain(0, 0, 0), green), (green + 1) / 2)


def whitened_in(around: Tensor, generated: Tensor, weight: float = 1.0) -> Tensor:
    return (whitened(generated, around, torch.full((1, 1, 4, 4), weight)) + 1) / 2


def test_yellow_teeth_keep_half_of_the_yellow_of_skin_and_their_luma() -> None:
    yellow, skin = plain(0.72, 0.68, 0.42), plain(*SKIN)
    made = whitened_in(skin, yellow)
    lack = 1 - ((skin[:, 2] + 1) / 2 / luma((skin + 1) / 2))
    assert torch.allclose(1 - made[:, 2] / luma(made), YELLOW * lack, atol=0.02)
    assert torch.allclose(luma(made), luma((yellow + 1) / 2), atol=1e-6)


def test_an_olive_inside_in_shade_loses_its_yellow() -> None:
    olive = plain(0.2, 0.18, 0.08)
    made = whitened_in(plain(*SKIN), olive)
    assert (made[:, 2] > 0.85 * luma(made)).all()
    assert torch.allclose(luma(made), luma((olive + 1) / 2), atol=1e-6)


@pytest.mark.parametrize(
    "rgb",
    [(0.66, 0.6, 0.58), (0.75, 0.4, 0.3), (0.12, 0.08, 0.01), (0.0, 0.0, 0.0)],
    ids=["teeth", "lips", "shade", "black"],
)
def test_white_teeth_lips_and_shade_do_not_get_whiter(rgb: tuple[float, float, float]) -> None:
    assert torch.allclose(whitened_in(plain(*SKIN), plain(*rgb)), (plain(*rgb) + 1) / 2, atol=1e-6)


def test_in_blue_light_and_away_from_the_mouth_nothing_gets_whiter() -> None:
    yellow = plain(0.72, 0.68, 0.42)
    assert torch.allclose(whitened_in(plain(*SKIN), yellow, weight=0), (yellow + 1) / 2, atol=1e-6)
    blue = plain(0.3, 0.4, 0.9)
    assert torch.allclose(whitened_in(plain(0.35, 0.45, 0.9), blue), (blue + 1) / 2, atol=1e-6)
