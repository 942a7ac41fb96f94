"""The deformation refiner: output of almost 0 at initialisation, resolution, and warped features as input."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from dubline.models.presets import TINY
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage1.deformation_refiner import DeformationRefiner
from dubline.models.stage1.deviation import Deformation
from dubline.models.stage1.source_encoder import SourceFeatures

PARAMS = dataclasses.replace(TINY.autoencoder, refines_deformation=True)
GRID, PLANAR = 16, PARAMS.planes * PARAMS.plane_channels


@pytest.fixture
def refiner() -> DeformationRefiner:
    torch.manual_seed(0)
    return DeformationRefiner(PARAMS).eval()


def features(shift: int = 0) -> SourceFeatures:
    torch.manual_seed(1)
    volume = torch.randn(2, PARAMS.plane_channels, PARAMS.planes, GRID, GRID).roll(shift, -1)
    return SourceFeatures(volume, torch.randn(2, PARAMS.decoder_widths[1], 2 * GRID, 2 * GRID).roll(2 * shift, -1))


def coarse(shift: float = 0.0) -> Deformation:
    mixed = torch.zeros(2, 2, GRID, GRID)
    mixed[:, 0] = shift * 2 / GRID
    planes = mixed[:, None].expand(-1, PARAMS.planes, -1, -1, -1)
    masks = torch.ones(2, PARAMS.planes, GRID, GRID)
    return Deformation(planes, masks, mixed, torch.zeros(2, PARAMS.field_widths[1], GRID, GRID))


def middle(field: Tensor) -> Tensor:
    edge = field.shape[-1] // 4
    return field[..., edge:-edge, edge:-edge]


def test_an_untrained_refiner_only_doubles_the_grid(refiner: DeformationRefiner) -> None:
    refined = refiner(coarse(1.0), features(), torch.randn(2, PARAMS.motion))
    assert refined.mixed.shape == (2, 2, 2 * GRID, 2 * GRID)
    assert refined.planes.shape == (2, PARAMS.planes, 2, GRID, GRID)
    assert (refined.mixed[:, 0] - 2 / GRID).abs().mean() < 0.02


def test_features_are_warped_by_the_coarse_deformation(refiner: DeformationRefiner) -> None:
    motion = torch.zeros(2, PARAMS.motion)
    # A source shifted two cells to the right and moved back by two cells is the same picture in the middle.
    here = refiner(coarse(), features(), motion).mixed
    there = refiner(coarse(2.0), features(2), motion).mixed - coarse(2.0).mixed.mean((2, 3), keepdim=True)
    unmoved = refiner(coarse(), features(2), motion).mixed
    assert (middle(here) - middle(there)).abs().mean() < 0.1 * (middle(here) - middle(unmoved)).abs().mean()


def test_the_refiner_of_an_autoencoder_gets_gradients() -> None:
    torch.manual_seed(0)
    network = Autoencoder(PARAMS)
    source = network.encode_source(torch.rand(1, 3, 128, 128) * 2 - 1)
    motion = source.motion + 0.1 * torch.randn_like(source.motion)
    network(source, motion).warped.square().mean().backward()
    assert network.deformation_refiner is not None
    assert network.deformation_refiner.head.weight.grad is not None
    assert network.deformation_refiner.head.weight.grad.abs().max() > 0
