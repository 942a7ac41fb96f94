"""Loss terms on landmarks, deformation and occlusion masks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from dubline.models.layers import warp
from dubline.training.stage1.data.augment import project, random_cameras, view
from dubline.training.stage1.losses.terms import (
    BELOW,
    FRAMED_LANDMARKS,
    LEFT_EYE,
    RIGHT_EYE,
    chroma_loss,
    colour_loss,
    face_weight,
    landmark_loss,
    lid_coverage_loss,
    lid_motion_mask,
    mouth_mask,
    occlusion_loss,
    opening_loss,
    parted_lips_mask,
)


def test_a_projected_landmark_stays_on_its_pixel() -> None:
    cameras = random_cameras(4, torch.Generator().manual_seed(1))
    axis = (torch.arange(128) * 2 + 1) / 128 - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    point = torch.tensor([0.3, -0.2])
    dot = torch.exp(-(grid - point).square().sum(-1) / 0.002).expand(4, 1, 128, 128)
    seen = view(dot, cameras)[:, 0].flatten(1).argmax(1)
    found = grid.flatten(0, 1)[seen]
    torch.testing.assert_close(project(point.expand(4, 1, 2), cameras)[:, 0], found, atol=0.02, rtol=0)


def test_the_landmark_loss_is_zero_for_the_true_displacement() -> None:
    driving = torch.rand(2, 68, 2) * 0.8 - 0.4
    displacement = torch.zeros(2, 2, 64, 64)
    displacement[:, 0], displacement[:, 1] = 0.1, -0.05
    source = driving + torch.tensor([0.1, -0.05])
    assert landmark_loss(displacement, source, driving, torch.ones(2)) < 1e-6
    assert landmark_loss(-displacement, source, driving, torch.ones(2)) > 0.01
    assert landmark_loss(-displacement, source, driving, torch.zeros(2)) == 0


def test_the_warp_moves_pixels_against_the_displacement() -> None:
    picture = torch.zeros(1, 1, 64, 64)
    picture[0, 0, 20, 40] = 1
    displacement = torch.zeros(1, 2, 64, 64)
    displacement[:, 0] = 10 * 2 / 64
    assert int(warp(picture, displacement).argmax()) == 20 * 64 + 30


def test_the_mouth_has_the_largest_weight() -> None:
    landmarks = torch.zeros(1, 68, 2)
    landmarks[:, 36:42] = torch.linspace(-0.4, -0.2, 6)[:, None] * torch.tensor([1.0, 0.0]) + torch.tensor([0, -0.3])
    landmarks[:, 42:48] = torch.linspace(0.2, 0.4, 6)[:, None] * torch.tensor([1.0, 0.0]) + torch.tensor([0, -0.3])
    landmarks[:, 48:68] = torch.linspace(-0.2, 0.2, 20)[:, None] * torch.tensor([1.0, 0.0]) + torch.tensor([0, 0.4])
    weight = face_weight(landmarks, 64)[0, 0]
    row, column = divmod(int(weight.argmax()), 64)
    assert abs(row - 44) <= 1
    assert abs(column - 32) <= 1
    assert weight[0, 0] < 1.1


def test_the_occlusion_loss_is_high_where_the_warp_is_right() -> None:
    target = torch.zeros(1, 3, 64, 64)
    free = mouth_mask(torch.from_numpy(FRAMED_LANDMARKS)[None], 64)

    def price(row: int, off: float) -> float:
        occlusion = torch.zeros(1, 1, 64, 64)
        occlusion[..., row, 32] = 1
        return float(occlusion_loss(occlusion, target + off, target, free)) * 64 * 64

    assert price(8, 0.0) > 0.99
    assert price(8, 0.9) < 0.3
    assert price(42, 0.0) < 0.05


def test_the_colour_loss_covers_the_mouth_and_wrong_warps_only() -> None:
    target = torch.zeros(1, 3, 64, 64)
    free = mouth_mask(torch.from_numpy(FRAMED_LANDMARKS)[None], 64)
    weight = torch.ones(1, 1, 64, 64)

    def price(row: int, off: float) -> float:
        colour = torch.zeros(1, 3, 64, 64)
        colour[..., row, 32] = 1
        return float(colour_loss(colour, target + off, target, weight, free)) * 64 * 64

    assert price(42, 0.0) > 0.95
    assert price(8, 0.9) > 0.95
    assert price(8, 0.0) < 0.01


def test_the_lid_mask_covers_eyes_that_open_or_close() -> None:
    source = torch.from_numpy(FRAMED_LANDMARKS)[None]
    winking = source.clone()
    winking[:, LEFT_EYE, 1] = winking[:, LEFT_EYE, 1].mean()
    nodding = source + torch.tensor([0.05, 0.1])
    left, right = (source[:, eye].mean((0, 1)) for eye in (LEFT_EYE, RIGHT_EYE))

    def at(place: Tensor, driving: Tensor) -> float:
        lids = lid_motion_mask(source, driving, 64)
        return float(grid_sample(lids, place[None, None, None], align_corners=False))

    assert at(left, winking) > 0.9
    assert at(right, winking) < 0.02
    assert at(left, nodding) < 1e-3


def test_the_lid_coverage_loss_opens_a_mask_near_zero() -> None:
    logit = torch.full((1, 1, 4, 4), -7.0, requires_grad=True)
    lids = torch.zeros(1, 1, 4, 4)
    lids[..., 1, 2] = 1
    lid_coverage_loss(logit.sigmoid(), lids).backward()
    assert logit.grad is not None
    torch.testing.assert_close(logit.grad * 16, -lids, atol=2e-3, rtol=0)


def test_the_opening_loss_ignores_head_motion() -> None:
    source = torch.zeros(1, 68, 2)
    source[:, :, 0] = torch.linspace(-0.5, 0.5, 68)
    known = torch.ones(1)
    moved = torch.zeros(1, 2, 64, 64)
    moved[:, 0] = 0.1
    # The lower lip is lower than the source's; the deformation must point up there, but is zero.
    driving = source.clone()
    driving[:, BELOW, 1] += 0.2
    assert opening_loss(moved, source, source, known) < 1e-6
    parted = opening_loss(torch.zeros_like(moved), source, driving, known)
    torch.testing.assert_close(parted, torch.tensor(0.1))
    up = torch.zeros(1, 2, 64, 64)
    up[:, 1, 35:] = -0.2
    assert opening_loss(up, source, driving, known) < 1e-6


def test_the_mask_of_parted_lips_covers_what_is_seen_between_them() -> None:
    angle = torch.pi + torch.arange(8) * torch.pi / 4
    mouths = torch.zeros(2, 68, 2)
    # Inner lips 16 px wide; parted by 8 px, and shut.
    mouths[0, 60:68] = torch.stack([0.25 * angle.cos(), 0.3 + 0.125 * angle.sin()], dim=1)
    mouths[1, 60:68] = torch.stack([0.25 * angle.cos(), torch.full((8,), 0.3)], dim=1)
    parted, shut = parted_lips_mask(mouths, 64)
    row, column = round((0.3 + 1) * 32), 32
    assert parted[0, row, column] == 1
    assert parted[0, row - 12].max() == parted[0, row, column + 16] == 0
    assert 90 < float(parted.sum()) < 220
    assert float(shut.sum()) < 0.1 * float(parted.sum())


def test_the_chroma_loss_sees_green_teeth_and_not_dark_ones() -> None:
    teeth, everywhere = torch.full((1, 3, 16, 16), 0.4), torch.ones(1, 1, 16, 16)
    green = teeth + torch.tensor([0.0, 0.2, 0.0])[:, None, None]
    assert chroma_loss(teeth - 0.5, teeth, everywhere) < 1e-6
    assert chroma_loss(green, teeth, everywhere) > 0.05
    assert chroma_loss(green, teeth, 0 * everywhere) == 0
