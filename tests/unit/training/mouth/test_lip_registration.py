"""Registration of lips: targets open as far as the moved lips do, and all else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from dubline.models.layers import pixel_middles
from dubline.training.mouth import lip_registration
from dubline.training.mouth.lip_registration import OUTER_LIPS, register_lips
from dubline.training.stage1.data.pairs import Pairs, PairSampler
from dubline.training.stage1.losses.registration import shown_at
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS, INNER_LIPS, MOUTH

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.training.corpus import Clip

CPU = torch.device("cpu")
#: Lower lips, without the corners of the mouth.
LOWER = slice(55, 60)


def face() -> Tensor:
    """Return landmarks (1, 68, 2) with outer lips around inner ones that are shut."""
    landmarks = torch.from_numpy(FRAMED_LANDMARKS)[None].clone()
    for points, width, height in ((OUTER_LIPS, 0.36, 0.14), (INNER_LIPS, 0.28, 0.0)):
        angle = 2 * torch.pi * torch.arange(points.stop - points.start) / (points.stop - points.start)
        ring = torch.stack([0.03 - width / 2 * angle.cos(), 0.32 - height / 2 * angle.sin()], 1)
        landmarks[:, points] = ring
    return landmarks


LANDMARKS = face()


def moved(landmarks: Tensor, lower: float) -> Tensor:
    changed = landmarks.clone()
    changed[:, LOWER, 1] += lower
    changed[:, 65:68, 1] += lower
    return changed


@pytest.fixture
def pairs(clips: list[Clip]) -> Pairs:
    drawn = PairSampler(clips, CPU).draw(2, 1)
    shut = LANDMARKS.expand(2, -1, -1)
    return drawn._replace(source_landmarks=shut, driving_landmarks=moved(shut, 0.06))


def opening(lower: float, sides: int = 64) -> Tensor:
    """Return a deformation (2, 2, sides, sides) that moves what is below the mouth's middle down."""
    down = pixel_middles(sides, sides, CPU)[1]
    middle = float(LANDMARKS[0, MOUTH, 1].mean())
    field = torch.zeros(2, 2, sides, sides)
    field[:, 1] = -lower * ((down - middle) / 0.05).clamp(0, 1)
    return field


def test_a_point_is_found_where_it_is_shown() -> None:
    points = LANDMARKS[:, OUTER_LIPS].expand(2, -1, -1)
    found = shown_at(opening(0.04), points, points)
    shown = found + F.grid_sample(opening(0.04), found[:, :, None], align_corners=False)[..., 0].mT
    assert torch.allclose(shown, points, atol=2e-3)
    assert torch.allclose(found[:, 8, 1], points[:, 8, 1] + 0.04, atol=2e-3)


def test_lips_that_are_moved_less_open_less(pairs: Pairs) -> None:
    registered = register_lips(pairs, opening(0.03))
    change = registered.driving_landmarks - pairs.driving_landmarks
    assert torch.allclose(change[:, 57], torch.tensor([0.0, -0.03]), atol=6e-3)
    # The inner lip moves with the outer one, upper lips less, and the nose not at all.
    assert -0.03 < change[:, 66, 1].max() < -0.015
    assert change[:, 51, 1].abs().max() < 0.012
    assert change[:, 27:36].abs().max() < 1e-3


def test_pixels_move_with_their_landmarks(pairs: Pairs) -> None:
    spot = pairs.driving_landmarks[:, 57]
    side = pairs.driving.shape[-1]
    off = pixel_middles(side, side, CPU) - spot[..., None, None]
    pairs = pairs._replace(driving=2 * (-off.square().sum(1, keepdim=True) / 0.002).exp().expand(-1, 3, -1, -1) - 1)
    registered = register_lips(pairs, opening(0.03))
    brightness = (registered.driving[:, 0] + 1).flatten(1)
    middle = (brightness[:, None] * pixel_middles(side, side, CPU).flatten(1)).sum(-1) / brightness.sum(-1)[:, None]
    assert torch.allclose(middle, registered.driving_landmarks[:, 57], atol=8e-3)


def test_right_lips_and_unknown_ones_stay(pairs: Pairs) -> None:
    right = register_lips(pairs, opening(0.06))
    assert torch.allclose(right.driving_landmarks, pairs.driving_landmarks, atol=1e-2)
    unknown = register_lips(pairs._replace(landmarks_known=torch.zeros(2)), opening(0.0))
    assert torch.allclose(unknown.driving_landmarks, pairs.driving_landmarks, atol=1e-6)
    assert torch.allclose(unknown.driving, pairs.driving, atol=1e-3)


def test_lips_move_by_a_bounded_distance(pairs: Pairs) -> None:
    wrong = pairs._replace(source_landmarks=pairs.source_landmarks + 0.5)
    change = register_lips(wrong, opening(0.0)).driving_landmarks - pairs.driving_landmarks
    assert change.abs().max() <= lip_registration.MOST + 1e-4
