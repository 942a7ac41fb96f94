from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from dubline.worker.rendering.full_size import on_device, opencv
from dubline.worker.rendering.full_size.on_device import TorchEnlarger
from dubline.worker.rendering.full_size.patch import ALONE, DOUBLED_MOST_PX, SAME, Patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.worker.rendering.full_size.patch import Enlarger

CPU = torch.device("cpu")
ENLARGERS = [opencv.OpenCvEnlarger, lambda patch: TorchEnlarger(patch, CPU)]


@pytest.mark.parametrize("implementation", ENLARGERS)
def test_detail_that_is_moved_by_half_a_pixel_keeps_its_contrast(implementation: Callable[[Patch], Enlarger]) -> None:
    side, whole = 160, slice(0, 160)
    x = np.arange(side)
    stripes = 128 + 60 * np.sin(2 * np.pi * x / 2.5)
    source = np.tile(stripes.astype(np.float32), (1, side, 1))
    moved = torch.tensor([1 / side, 0.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64)
    nothing = torch.zeros(1, 1, 128, 128)
    result = implementation(Patch(source, whole, whole, is_luma=True))(moved, nothing, nothing, nothing)
    expected = 128 + 60 * np.sin(2 * np.pi * (x + 0.5) / 2.5)
    inner = slice(8, -8)
    contrast = np.std(result[0, 0, 80, inner]) / np.std(expected[inner])
    # Bicubic interpolation between the source's own pixels keeps .52.
    assert 0.75 < contrast < 1.05
    assert np.corrcoef(result[0, 0, 80, inner], expected[inner])[0, 1] > 0.99


def test_doubled_pixels_contain_those_of_the_source(noise: np.random.Generator) -> None:
    source = noise.uniform(16, 235, (2, 30, 30)).astype(np.float32)
    doubled = Patch(source, slice(0, 30), slice(0, 30), is_luma=True).moved_from()
    assert doubled.shape == (2, 60, 60)
    assert (doubled[:, ::2, ::2] == source).all()


def test_the_memory_of_doubled_pixels_is_bounded() -> None:
    for side in (DOUBLED_MOST_PX, DOUBLED_MOST_PX + 1, 2 * DOUBLED_MOST_PX):
        source, whole = np.zeros((1, side, side), np.float32), slice(0, side)
        moved_from = Patch(source, whole, whole, is_luma=True).moved_from()
        assert moved_from is source or moved_from.nbytes <= 24e6


def test_generated_luma_has_the_finest_detail_of_the_same_in_the_source(noise: np.random.Generator) -> None:
    texture = noise.uniform(-6, 6, (40, 40)).astype(np.float32)
    moved, soft = 120 + texture, np.full((40, 40), 123, np.float32)
    kept = opencv.finest_detail(soft, moved)
    assert 0.5 < kept.std() / texture.std() < 1
    assert np.corrcoef(kept.ravel(), texture.ravel())[0, 1] > 0.8
    # Something else is generated, or with more detail of its own.
    assert (opencv.finest_detail(soft - 60, moved) == soft - 60).all()
    own = 123 + 5 * texture.T
    assert (opencv.finest_detail(own, moved) - own).std() < 0.2 * own.std()
    assert np.abs(opencv.finest_detail(soft, 120 + 20 * texture) - soft).max() <= 8


@pytest.mark.parametrize("implementation", ENLARGERS)
@pytest.mark.parametrize("is_luma", [True, False])
def test_fine_detail_of_the_source_is_hidden_where_something_else_is_generated(
    implementation: Callable[[Patch], Enlarger],
    noise: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_luma: bool,
) -> None:
    for module in (opencv, on_device):
        monkeypatch.setattr(module, "alone", lambda occlusion: 0 * occlusion)
    side, network, whole = 256, 64, slice(0, 256)
    channels = 1 if is_luma else 2
    source = (70 + noise.uniform(-30, 30, (channels, side, side))).astype(np.float32)
    still, covered = torch.zeros(1, 2, 64, 64), torch.ones(1, 1, network, network)
    generated = torch.full((1, channels, network, network), 70.0)
    generated[..., network // 2 :] = 160
    hiding = torch.ones(1, 1, network, network)
    hiding[..., :8] = 0
    enlarger = implementation(Patch(source, whole, whole, is_luma=is_luma))
    result = enlarger(still, generated, covered, hiding)[0].astype(float)
    same, lid = result[..., 8:96], result[..., 160:-8]
    assert np.corrcoef(same.ravel(), source[..., 8:96].ravel())[0, 1] > 0.9
    assert lid.mean() == pytest.approx(160, abs=1)
    assert lid.std() < 1
    # What is not generated stays.
    assert np.abs(enlarger(still, generated, 0 * covered, hiding)[0] - source).max() <= 0.5
    # Where nothing may hide it, it shows through everything.
    generated[:] = 160
    mouth = enlarger(still, generated, covered, hiding)[0, :, :, 8:24].astype(float)
    assert np.corrcoef(mouth.ravel(), source[..., 8:24].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("implementation", ENLARGERS)
@pytest.mark.parametrize("is_luma", [True, False])
def test_nothing_shows_through_pixels_that_are_generated_alone(
    implementation: Callable[[Patch], Enlarger], noise: np.random.Generator, *, is_luma: bool
) -> None:
    whole, channels = slice(0, 256), 1 if is_luma else 2
    source = (70 + noise.uniform(-30, 30, (channels, 256, 256))).astype(np.float32)
    still, nothing = torch.zeros(1, 2, 64, 64), torch.zeros(1, 1, 64, 64)
    # The same as the source is on average, with detail of its own in luma.
    generated = 70 + 20 * torch.linspace(0, 30, 64).sin().expand(1, channels, 64, 64)
    occlusion = torch.full_like(nothing, ALONE)
    occlusion[..., 32:] = 1
    enlarger = implementation(Patch(source, whole, whole, is_luma=is_luma))
    mixed, alone = (
        enlarger(still, generated, occlusion, nothing)[0, :, 16:-16, part].astype(float)
        for part in (slice(16, 96), slice(160, 240))
    )
    assert mixed.std(axis=1).mean() > 5
    # All rows are the same.
    assert alone.std(axis=1).max() <= 0.5
    assert alone.std(axis=2).mean() > 10


def test_small_differences_of_light_hide_nothing(noise: np.random.Generator) -> None:
    moved = noise.uniform(100, 140, (40, 40)).astype(np.float32)
    assert (opencv.other(moved + 12, moved, SAME) == 0).all()
    assert (opencv.other(moved + 40, moved, SAME) == 1).all()
