"""Moved pixels that are stretched: where they are, and that their streaks are not seen in what is generated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dubline.framing.crop import Square
from dubline.models.layers import pixel_middles
from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.worker.rendering.full_size.compositor import Compositor
from dubline.worker.rendering.full_size.stretching import STRETCHED, WHOLE, stretched

SIDE = 32


def affine(matrix: list[list[float]], side: int = SIDE) -> torch.Tensor:
    """Return the displacement at which the source is seen through a matrix: (1, 2, side, side)."""
    places = pixel_middles(side, side, torch.device("cpu"))
    return (torch.einsum("ij,jhw->ihw", torch.tensor(matrix), places) - places)[None]


def turned(angle: float) -> list[list[float]]:
    return [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]


@pytest.mark.parametrize("matrix", [[[1.0, 0], [0, 1]], [[1.0, 0.9], [0, 1]], turned(0.8), [[1.5, 0], [0, 1.2]]])
def test_pixels_that_keep_their_area_are_not_stretched(matrix: list[list[float]]) -> None:
    assert stretched(affine(matrix) + 0.3).max() < 1e-4


@pytest.mark.parametrize("side", [16, 48])
def test_the_share_follows_the_area_that_a_pixel_shows(side: int) -> None:
    middle = (WHOLE + STRETCHED) / 2
    for matrix in ([[1.0, 0], [0, middle]], [[middle, 0], [0, 1.0]]):
        assert stretched(affine(matrix, side)).numpy() == pytest.approx(0.5, abs=1e-3)
    assert stretched(affine([[0.5, 0], [0, 0.5]], side)).min() == 1
    # A mirrored picture has an area below zero.
    assert stretched(affine([[-1.0, 0], [0, 1]], side)).min() == 1


def test_streaks_of_stretched_pixels_are_not_seen_in_a_dark_mouth(noise: np.random.Generator) -> None:
    side = 512
    square = Square(side // 4, side // 4, side // 2)
    still = np.repeat(noise.integers(90, 250, (1, side, 1), np.uint8), side, axis=0).repeat(3, axis=2)
    compositor = Compositor(still, square, torch.device("cpu"))
    # Below the middle of the square, lips part; further down, motion ends at the border.
    mouth = torch.zeros(1, 1, 64, 64)
    # Less than what hides all of the source.
    mouth[..., 37:48, 24:40] = 0.85
    dark = GeneratedPixels(torch.full((1, 3, 64, 64), -0.8), mouth)
    opening = torch.zeros(1, 2, 64, 64)
    opening[:, 1] = -0.6 * ((torch.arange(64) - 36) / 22).clamp(0, 1)[:, None]
    spread = {}
    for name, displacement in (("still", 0 * opening), ("stretched", opening)):
        (frame,) = compositor.frames([compositor.enlarge(Fields(displacement, dark))])
        spread[name] = frame[288:312, 232:280].std()
    assert spread["stretched"] < 0.25 * spread["still"]
