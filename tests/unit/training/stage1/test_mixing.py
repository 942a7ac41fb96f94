"""Losses that give regions and planes distinct roles, and sources with shut lips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.unit.training.stage1.test_exact_geometry import SIZE, batch_of, identity, write_scene

from dubline.models.presets import TINY
from dubline.models.stage1.deviation import DeviationDecoder
from dubline.training.stage1.data.exact_geometry import BACKGROUND
from dubline.training.stage1.losses.mixing import Mixing, mixing_of, plane_index, plane_loss, region_loss

if TYPE_CHECKING:
    from pathlib import Path


def test_uniform_shares_cost_one_and_shares_with_a_region_each_nothing() -> None:
    uniform = torch.full((2, 4, 8, 4, 4), 1 / 8)
    visibility = torch.zeros(2, 4, 4, 4)
    assert region_loss(Mixing(uniform, visibility)).item() == pytest.approx(1, abs=1e-3)
    own = torch.eye(8)[torch.arange(16).view(4, 4) % 8].permute(2, 0, 1).expand(2, 4, 8, 4, 4)
    assert region_loss(Mixing(own, visibility)).item() == pytest.approx(0, abs=1e-3)
    one = torch.zeros(2, 4, 8, 4, 4)
    one[:, :, 0] = 1
    assert region_loss(Mixing(one, visibility)).item() == pytest.approx(1, abs=1e-3)


def test_a_decoder_learns_distinct_regions_from_the_loss() -> None:
    torch.manual_seed(0)
    decoder = DeviationDecoder(TINY.autoencoder)
    features = torch.randn(2, decoder.head.in_channels, 16, 16)
    optimiser = torch.optim.Adam(decoder.head.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = region_loss(mixing_of(decoder, decoder.head(features)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.95
    assert losses[-1] < 0.5


def with_depth(path: Path) -> None:
    write_scene(path)
    with np.load(path) as file:
        arrays = dict(file)
    rows = np.broadcast_to(np.linspace(2, 4, SIZE)[:, None], (SIZE, SIZE))
    depth = np.where(arrays["part"][0] == BACKGROUND, 0, rows)
    np.savez(path, **arrays, depth_b=depth[None].astype(np.float16))


def test_planes_follow_depth_and_the_background_has_the_last(tmp_path: Path) -> None:
    with_depth(tmp_path / "00000.npz")
    pair = batch_of(tmp_path, identity(1))
    index, known = plane_index(pair, 4)
    assert known.all()
    assert (index[pair.parts == BACKGROUND] == 3).all()
    column = index[0, 0, 12:52, SIZE // 2]
    assert (column.diff() >= 0).all()
    assert column[0] == 0
    assert column[-1] == 2
    right = 20 * torch.nn.functional.one_hot(index[:, 0].long(), 4).permute(0, 3, 1, 2).float()
    shares = torch.full((1, 4, 8, SIZE, SIZE), 1 / 8)
    assert plane_loss(Mixing(shares, right), pair) < 1e-3
    assert plane_loss(Mixing(shares, -right), pair) > 5


def test_pairs_without_depth_have_no_plane_loss(tmp_path: Path) -> None:
    write_scene(tmp_path / "00000.npz")
    pair = batch_of(tmp_path, identity(1))
    shares = torch.full((1, 4, 8, SIZE, SIZE), 1 / 8)
    assert plane_loss(Mixing(shares, torch.randn(1, 4, SIZE, SIZE)), pair) == 0
