"""Registration of driving frames: the head position changes, the opening of the lips does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from dubline.training.stage1.data.pairs import Pairs, PairSampler
from dubline.training.stage1.losses.registration import fit_cameras, register
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

if TYPE_CHECKING:
    from dubline.training.corpus import Clip

LANDMARKS = torch.from_numpy(FRAMED_LANDMARKS)[None]
KNOWN = torch.ones(1)


@pytest.fixture
def pairs(clips: list[Clip]) -> Pairs:
    drawn = PairSampler(clips, torch.device("cpu")).draw(2, 1)
    return drawn._replace(source_landmarks=drawn.driving_landmarks)


def constant(across: float, pairs: Pairs) -> Tensor:
    field = torch.zeros(len(pairs.driving), 2, 16, 16)
    field[:, 0] = across
    return field


def test_a_correct_deformation_does_not_move_the_frame(pairs: Pairs) -> None:
    moved = register(pairs, constant(0.0, pairs))
    assert torch.allclose(moved.driving, pairs.driving, atol=1e-3)
    assert torch.allclose(moved.driving_landmarks, pairs.driving_landmarks, atol=1e-4)


def test_a_head_rendered_to_the_left_moves_the_frame_to_the_left(pairs: Pairs) -> None:
    # Each pixel shows what lies 8 px further to the right.
    moved = register(pairs, constant(8 / 64, pairs))
    assert torch.allclose(moved.driving_landmarks[..., 0], pairs.driving_landmarks[..., 0] - 8 / 64, atol=5e-3)
    assert (moved.driving[..., :-8] - pairs.driving[..., 8:]).abs().mean() < 0.02
    assert (moved.driving - pairs.driving).abs().mean() > 0.05


def test_unknown_landmarks_do_not_move_the_frame(pairs: Pairs) -> None:
    moved = register(pairs._replace(landmarks_known=torch.zeros(2)), constant(0.2, pairs))
    assert torch.allclose(moved.driving, pairs.driving, atol=1e-3)


def test_lips_lids_and_jaw_do_not_affect_the_fit() -> None:
    shown = LANDMARKS.clone()
    shown[:, 55:60] += 0.1
    shown[:, 60:68] += 0.1
    shown[:, [37, 38, 43, 44]] += 0.1
    shown[:, 6:11] += 0.1
    assert torch.allclose(fit_cameras(shown, LANDMARKS, KNOWN), torch.eye(2, 3)[None], atol=1e-5)


def test_the_fit_recovers_rotation_zoom_and_shift() -> None:
    camera = torch.tensor([[[0.9, -0.1, 0.05], [0.1, 0.9, -0.02]]])
    wanted = LANDMARKS @ camera[:, :, :2].mT + camera[:, None, :, 2]
    assert torch.allclose(fit_cameras(LANDMARKS, wanted, KNOWN), camera, atol=2e-3)
