"""Resampling of images and features."""

from __future__ import annotations

import pytest
import torch

from dubline.models import layers
from dubline.models.layers import KEPT_PX, pixel_middles, resize, shown_area, warp


def test_resized_colours_do_not_depend_on_the_number_of_threads() -> None:
    colour, threads = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(resize(colour, 192, 192))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_images_can_be_warped_in_training_after_inference() -> None:
    layers._kept_middles.cache_clear()
    image, displacement = torch.ones(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    with torch.inference_mode():
        warp(image, displacement)
    displacement.requires_grad_()
    warp(image, displacement).sum().backward()  # type: ignore[no-untyped-call]
    assert displacement.grad is not None


def test_only_middles_of_small_images_are_kept() -> None:
    cpu = torch.device("cpu")
    assert pixel_middles(KEPT_PX, 8, cpu) is pixel_middles(KEPT_PX, 8, cpu)
    assert pixel_middles(KEPT_PX + 1, 8, cpu) is not pixel_middles(KEPT_PX + 1, 8, cpu)


def test_a_box_has_the_areas_of_the_whole_field() -> None:
    side, box = 64, (slice(16, 60), slice(8, 56))
    displacement = 0.1 * torch.sin(4 * pixel_middles(side, side, torch.device("cpu")))[None]
    whole = shown_area(displacement, side)[..., *box]
    # At the edges of the box derivatives are one-sided.
    assert torch.allclose(shown_area(displacement[..., *box], side)[..., 1:-1, 1:-1], whole[..., 1:-1, 1:-1])


def test_the_area_that_pixels_show_is_not_bounded() -> None:
    places = pixel_middles(16, 16, torch.device("cpu"))[None]
    for scale in (3.0, -3.0):
        scales = torch.tensor([scale, 1.0])[:, None, None]
        assert shown_area((scales - 1) * places, 16).numpy() == pytest.approx(scale, rel=1e-4)
