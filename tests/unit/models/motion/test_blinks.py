"""Blink rate, irregular intervals, and independence of the number of frames per call."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dubline.models.motion.blinks import (
    HALF,
    HALF_SHARE,
    MAX_OPEN_FRAMES,
    MEAN_INTERVAL_FRAMES,
    MIN_OPEN_FRAMES,
    PROFILE,
    SLOW_PROFILE,
    SLOW_SHARE,
    Blinks,
)

FRAMES = 30_000


def starts(amount: float, seed: int = 0) -> Tensor:
    """Return the frames at which a blink begins."""
    closure = Blinks(amount, seed)(FRAMES)
    return ((closure[1:] > 0) & (closure[:-1] == 0)).nonzero()[:, 0]


@pytest.mark.parametrize("amount", [0.5, 1, 2])
def test_the_blink_rate_is_proportional_to_the_amount(amount: float) -> None:
    assert FRAMES / len(starts(amount)) == pytest.approx(MEAN_INTERVAL_FRAMES / amount, rel=0.1)


def test_an_amount_of_zero_gives_no_blinks() -> None:
    assert not Blinks(0, 0)(1000).any()


@pytest.mark.parametrize("amount", [1e-9, 5e-324])
def test_a_tiny_amount_keeps_memory_bounded(amount: float) -> None:
    blinks = Blinks(amount, 0)
    assert blinks(60).shape == (60,)
    assert len(blinks.scheduled) < 2 * MAX_OPEN_FRAMES


def test_intervals_are_irregular_and_at_least_the_minimum() -> None:
    intervals = starts(1).diff() - len(PROFILE)
    assert intervals.min() >= MIN_OPEN_FRAMES
    assert 0.4 < intervals.double().std() / intervals.double().mean() < 0.9


def test_blinks_do_not_depend_on_the_number_of_frames_per_call() -> None:
    whole, chunks = Blinks(1, 7), Blinks(1, 7)
    assert torch.equal(whole(500), torch.cat([chunks(count) for count in (1, 59, 3, 437)]))


def test_some_blinks_are_slow_and_some_incomplete() -> None:
    closure, begun = Blinks(1, 0)(FRAMES), starts(1)
    parts = [closure[start + 1 : start + 1 + len(SLOW_PROFILE)] for start in begun[:-1]]
    slow = sum(len(part.nonzero()) > len(PROFILE) for part in parts) / len(parts)
    half = sum(float(part.max()) == pytest.approx(HALF) for part in parts) / len(parts)
    assert slow == pytest.approx(SLOW_SHARE, abs=0.05)
    assert half == pytest.approx(HALF_SHARE, abs=0.05)


def test_another_seed_gives_other_blinks() -> None:
    assert not torch.equal(Blinks(1, 1)(2000), Blinks(1, 2)(2000))


def test_the_eyes_are_open_in_the_first_frame() -> None:
    assert all(Blinks(2, seed)(1) == 0 for seed in range(50))


def test_no_frame_has_lids_that_an_iris_shows_through() -> None:
    for amount in (0.5, 1.0, 2.0):
        closure = Blinks(amount, seed=3)(20_000)
        assert closure.max() == 1
        assert not ((closure > HALF + 1e-6) & (closure < 0.85 - 1e-6)).any()
