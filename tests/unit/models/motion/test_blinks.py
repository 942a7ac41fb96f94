"""Blinks come as often as asked, irregularly, and the same however many frames are asked for at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dubline.models.motion.blinks import LEAST_OPEN, MOST_OPEN, SHAPE, USUAL_FRAMES, Blinks

FRAMES = 30_000


def starts(amount: float, seed: int = 0) -> Tensor:
    """Frames at which a blink begins."""
    shut = Blinks(amount, seed)(FRAMES)
    return ((shut[1:] > 0) & (shut[:-1] == 0)).nonzero()[:, 0]


@pytest.mark.parametrize("amount", [0.5, 1, 2])
def test_they_come_as_often_as_asked(amount: float) -> None:
    assert FRAMES / len(starts(amount)) == pytest.approx(USUAL_FRAMES / amount, rel=0.1)


def test_asked_for_none_there_is_none() -> None:
    assert not Blinks(0, 0)(1000).any()


@pytest.mark.parametrize("amount", [1e-9, 5e-324])
def test_asked_for_next_to_none_it_takes_no_more_memory_than_hours(amount: float) -> None:
    blinks = Blinks(amount, 0)
    assert blinks(60).shape == (60,)
    assert len(blinks.waiting) < 2 * MOST_OPEN


def test_pauses_are_irregular_and_never_too_short() -> None:
    pauses = starts(1).diff() - len(SHAPE)
    assert pauses.min() >= LEAST_OPEN
    assert 0.4 < pauses.double().std() / pauses.double().mean() < 0.9


def test_however_many_frames_are_asked_for_at_a_time_they_are_the_same() -> None:
    whole, pieces = Blinks(1, 7), Blinks(1, 7)
    assert torch.equal(whole(500), torch.cat([pieces(count) for count in (1, 59, 3, 437)]))


def test_another_seed_blinks_at_other_times() -> None:
    assert not torch.equal(Blinks(1, 1)(2000), Blinks(1, 2)(2000))


def test_the_portrait_s_eyes_are_open_in_the_first_frame() -> None:
    assert all(Blinks(2, seed)(1) == 0 for seed in range(50))
