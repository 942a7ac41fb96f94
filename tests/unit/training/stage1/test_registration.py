"""Registration: the driving frame goes where the rendering shows the head; its lips stay as far apart as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from dubline.training.stage1.data.pairs import Pairs, PairSampler
from dubline.training.stage1.losses.registration import fit, registered
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


def test_a_deformation_that_is_right_leaves_the_frame_where_it_is(pairs: Pairs) -> None:
    moved = registered(pairs, constant(0.0, pairs))
    assert torch.allclose(moved.driving, pairs.driving, atol=1e-3)
    assert torch.allclose(moved.driving_landmarks, pairs.driving_landmarks, atol=1e-4)


def test_a_head_that_is_shown_to_the_left_brings_the_frame_to_the_left(pairs: Pairs) -> None:
    # Every pixel shows what lies 8 px further to the right.
    moved = registered(pairs, constant(8 / 64, pairs))
    assert torch.allclose(moved.driving_landmarks[..., 0], pairs.driving_landmarks[..., 0] - 8 / 64, atol=5e-3)
    assert (moved.driving[..., :-8] - pairs.driving[..., 8:]).abs().mean() < 0.02
    assert (moved.driving - pairs.driving).abs().mean() > 0.05


def test_guessed_landmarks_move_nothing(pairs: Pairs) -> None:
    moved = registered(pairs._replace(marked=torch.zeros(2)), constant(0.2, pairs))
    assert torch.allclose(moved.driving, pairs.driving, atol=1e-3)


def test_what_lips_lids_and_jaw_do_is_not_fitted_away() -> None:
    shown = LANDMARKS.clone()
    shown[:, 55:60] += 0.1
    shown[:, 60:68] += 0.1
    shown[:, [37, 38, 43, 44]] += 0.1
    shown[:, 6:11] += 0.1
    assert torch.allclose(fit(shown, LANDMARKS, KNOWN), torch.eye(2, 3)[None], atol=1e-5)


def test_a_turned_zoomed_and_shifted_head_is_found() -> None:
    camera = torch.tensor([[[0.9, -0.1, 0.05], [0.1, 0.9, -0.02]]])
    wanted = LANDMARKS @ camera[:, :, :2].mT + camera[:, None, :, 2]
    assert torch.allclose(fit(LANDMARKS, wanted, KNOWN), camera, atol=2e-3)
