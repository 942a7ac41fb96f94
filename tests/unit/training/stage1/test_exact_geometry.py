"""Pairs with exact flow: geometry under cameras, visibility and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models.layers import resize, warp
from dubline.training.stage1.data import augment, exact_geometry
from dubline.training.stage1.data.exact_geometry import DensePair, DensePairSampler, flow_loss, visibility_loss

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CPU = torch.device("cpu")
SIZE = 64
LIPS, TEETH = exact_geometry.PARTS.index("lips"), exact_geometry.PARTS.index("teeth")


def scenery(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return a smooth picture without repetition."""
    waves = [np.sin(3 * x + 2 * y), np.cos(4 * y - x), np.sin(2 * x) * np.cos(3 * y)]
    return (127.5 + 100 * np.stack(waves, -1)).round().astype(np.uint8)


def write_scene(path: Path, size_px: int = SIZE, *, split: str = "train") -> None:
    """Write a disc of skin that rotates, grows and deforms between two frames, with lips, over a static background."""
    axis = (np.arange(size_px) * 2 + 1) / size_px - 1
    x, y = np.meshgrid(axis, axis)
    on = x**2 + y**2 < 0.5
    moved = np.stack([0.12 * y + 0.05 * np.sin(3 * y) + 0.06, -0.1 * x + 0.04 * np.cos(2 * x)], -1) * on[..., None]
    part = np.where(on, 1, 0).astype(np.uint8)
    part[(np.abs(x) < 0.2) & (np.abs(y - 0.3) < 0.1)] = LIPS
    hidden = on & (x > 0.4)
    # In the source the disc is larger: beyond its edge background comes into view.
    part_a = np.where(x**2 + y**2 < 0.7, 1, 0).astype(np.uint8)
    marks = np.zeros((68, 2))
    marks[:, 0], marks[:, 1] = np.linspace(0.2, 0.6, 68), 0.4
    np.savez(
        path,
        a=scenery(x, y)[None],
        b=np.where(hidden[..., None], 0, scenery(x + moved[..., 0], y + moved[..., 1])).astype(np.uint8)[None],
        flow=(moved * size_px / 2).astype(np.float16)[None],
        visible=~hidden[None],
        part=part[None],
        part_a=part_a[None],
        landmarks_a=marks[None] * size_px,
        landmarks_b=marks[None] * size_px,
        split=split,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_scene(tmp_path / "00000.npz")
    write_scene(tmp_path / "00001.npz")
    write_scene(tmp_path / "00009.npz", split="heldout")
    return tmp_path


def batch_of(folder: Path, cameras: Tensor, size_px: int = SIZE) -> DensePair:
    scene = exact_geometry.read_scene(folder / "00000.npz", size_px)
    assert scene is not None
    repeated = exact_geometry.Scene(*(np.repeat(values, len(cameras), axis=0) for values in scene))
    return exact_geometry.to_pair(repeated, cameras)


def identity(batch: int) -> Tensor:
    return torch.eye(2, 3).expand(batch, 2, 3)


def error(pair: DensePair, displacement: Tensor) -> float:
    off = (warp(pair.source, displacement) - pair.driving).abs().mean(dim=1, keepdim=True)
    return ((off * pair.weight).sum() / pair.weight.sum()).item()


def test_warping_the_source_gives_the_driving_frame(folder: Path) -> None:
    pair = batch_of(folder, identity(1))
    assert error(pair, pair.displacement) < 0.01
    assert error(pair, torch.zeros_like(pair.displacement)) > 0.03


def test_warping_is_exact_under_any_camera(folder: Path) -> None:
    cameras = augment.random_cameras(8, torch.Generator().manual_seed(0))
    # Larger rotations and zooms than in training, so that a missing rotation is detected.
    cameras[0] = torch.tensor([[0.0, -0.7, 0.1], [0.7, 0.0, -0.2]])
    pair = batch_of(folder, cameras)
    for single in range(8):
        alone = DensePair(*(values[single : single + 1] for values in pair))
        assert alone.weight.mean() > 0.2
        assert error(alone, alone.displacement) < 0.012
    untransformed = batch_of(folder, identity(1)).displacement
    turned = DensePair(*(values[:1] for values in pair))
    assert error(turned, exact_geometry._nearest(untransformed, cameras[:1])) > 0.03


def test_warping_is_exact_at_another_size(folder: Path) -> None:
    pair = batch_of(folder, identity(1), size_px=SIZE // 2)
    assert pair.source.shape == (1, 3, SIZE // 2, SIZE // 2)
    assert error(pair, pair.displacement) < 0.015


def test_a_file_of_one_pair_needs_no_axis_and_no_split(tmp_path: Path) -> None:
    write_scene(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as file:
        single = {key: file[key][0] for key in file if key != "split"}
    single["part"] = np.where(single["part"] == LIPS, len(exact_geometry.PARTS) - 1, single["part"])
    np.savez(tmp_path / "00000.npz", **single)
    pair = batch_of(tmp_path, identity(1))
    assert pair.source.shape == (1, 3, SIZE, SIZE)
    assert flow_loss(pair.displacement, pair) == 0
    assert {"beard", "tongue", "headwear"} <= set(exact_geometry.PARTS)


def test_hidden_and_uncovered_pixels_are_hidden(folder: Path) -> None:
    pair = batch_of(folder, identity(1))
    x, y = exact_geometry._pixel_positions(pair.displacement)
    covered = (x**2 + y**2 < 0.5) & (x > 0.4)
    uncovered = (x**2 + y**2 > 0.51) & (x**2 + y**2 < 0.69)
    assert pair.hidden[0, 0][covered | uncovered].min() == 1
    torch.testing.assert_close(pair.hidden + pair.weight, torch.ones_like(pair.weight))


def test_pixels_outside_the_recording_have_no_weight(folder: Path) -> None:
    outwards = torch.tensor([[[2.0, 0, 0], [0, 2.0, 0]]])
    pair = batch_of(folder, outwards)
    x, y = exact_geometry._pixel_positions(pair.displacement).abs()
    beyond = (x > 0.52) | (y > 0.52)
    assert (pair.hidden + pair.weight)[0, 0][beyond].max() == 0
    assert (pair.hidden + pair.weight)[0, 0][(x < 0.48) & (y < 0.48)].min() == 1


def test_points_outside_the_source_view_are_hidden(folder: Path) -> None:
    # A zoom at which the moving disc fills the picture.
    pair = batch_of(folder, torch.tensor([[[0.2, 0, 0], [0, 0.2, 0]]]))
    target = exact_geometry._pixel_positions(pair.displacement) + pair.displacement[0]
    outside = target.abs().amax(0) > 1
    assert outside.any()
    assert pair.hidden[0, 0][outside].min() == 1


def test_landmarks_follow_the_camera(folder: Path) -> None:
    cameras = torch.tensor([[[0.5, 0, 0], [0, 0.5, 0]]])
    pair = batch_of(folder, cameras)
    torch.testing.assert_close(pair.driving_landmarks[0, 0], torch.tensor([-1.2, -0.4]), atol=1e-3, rtol=0)


def test_a_seed_determines_the_pairs_and_held_out_scenes_are_skipped(folder: Path) -> None:
    pairs = DensePairSampler(folder, SIZE)
    assert pairs.count == 2
    first, second = pairs.draw(3, CPU), pairs.draw(3, CPU)
    assert not torch.equal(first.driving, second.driving)
    pairs.seed(0)
    torch.testing.assert_close(pairs.draw(3, CPU).driving, first.driving)
    assert error(first, first.displacement) < 0.015
    assert first.source.abs().max() <= 1


def test_the_limit_bounds_the_pairs_in_memory(folder: Path) -> None:
    assert DensePairSampler(folder, SIZE, limit=1).count == 1


def test_a_folder_without_pairs_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        DensePairSampler(tmp_path, SIZE)


def test_the_exact_flow_has_the_least_loss_at_any_resolution(folder: Path) -> None:
    pair = batch_of(folder, identity(2))
    still = flow_loss(torch.zeros_like(pair.displacement), pair)
    assert flow_loss(pair.displacement, pair).item() == pytest.approx(0, abs=1e-6)
    assert flow_loss(resize(pair.displacement, SIZE // 2, SIZE // 2), pair) < 0.2 * still
    assert flow_loss(-pair.displacement, pair) > 1.8 * still


def test_lips_weigh_more_than_skin(folder: Path) -> None:
    pair = batch_of(folder, identity(1))
    lips = (pair.parts == LIPS).float()
    skin = torch.roll(lips, -SIZE // 4, dims=2)
    losses = [flow_loss(pair.displacement + 0.1 * where, pair) for where in (lips, skin)]
    assert losses[0] > 4 * losses[1]


def test_hidden_pixels_have_no_flow_loss(folder: Path) -> None:
    pair = batch_of(folder, identity(1))
    assert flow_loss(pair.displacement + pair.hidden, pair).item() == pytest.approx(0, abs=1e-6)


def test_the_visibility_loss_is_least_for_the_true_mask(folder: Path) -> None:
    pair = batch_of(folder, identity(1))
    right, wrong, half = (visibility_loss(mask, pair) for mask in (pair.hidden, pair.weight, pair.hidden * 0 + 0.5))
    assert right < 0.01 < half < wrong


def test_visible_teeth_may_be_generated_or_warped(folder: Path) -> None:
    pair = batch_of(folder, identity(1))
    pair = pair._replace(parts=torch.where(pair.parts == LIPS, TEETH, pair.parts))
    teeth = (pair.parts == TEETH).float()
    torch.testing.assert_close(visibility_loss(pair.hidden, pair), visibility_loss(pair.hidden + teeth, pair))
