"""Mirrored pairs: pictures and landmarks agree as before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from dubline.training.stage1.data.mirroring import ORDER, mirrored
from dubline.training.stage1.data.pairs import PairSampler

if TYPE_CHECKING:
    from dubline.training.corpus import Clip

CPU = torch.device("cpu")


def test_landmarks_keep_their_names() -> None:
    assert sorted(ORDER) == list(range(68))
    # Twice mirrored is unchanged; each point is exchanged with that of the other side.
    assert [ORDER[point] for point in ORDER] == list(range(68))
    middle = [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert [point for point in range(68) if ORDER[point] == point] == middle
    assert {36: 45, 39: 42, 37: 44, 41: 46, 48: 54, 60: 64, 59: 55, 67: 65, 17: 26, 31: 35}.items() <= dict(
        enumerate(ORDER)
    ).items()


def test_pictures_and_landmarks_are_mirrored_together(clips: list[Clip]) -> None:
    pairs = PairSampler([replace(clip, geometry=None) for clip in clips], CPU).draw(2, 2)
    seen = mirrored(pairs)
    assert torch.equal(seen.sources, pairs.sources.flip(-1))
    assert torch.equal(seen.driving, pairs.driving.flip(-1))
    assert torch.equal(seen.augmented, pairs.augmented.flip(-1))
    for before, after in zip(pairs[3:5], seen[3:5], strict=True):
        assert torch.equal(after[:, 48], before[:, 54] * torch.tensor([-1, 1]))
        assert torch.equal(after[:, 30], before[:, 30] * torch.tensor([-1, 1]))


def test_known_parameters_cannot_be_mirrored(clips: list[Clip]) -> None:
    with pytest.raises(ValueError, match="without them"):
        mirrored(PairSampler(clips, CPU).draw(2, 2))
