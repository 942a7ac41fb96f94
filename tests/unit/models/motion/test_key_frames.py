"""Frames between key frames are few, and close to the line between them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.models.motion import key_frames
from dubline.models.motion.key_frames import MOST_APART, MOST_LIPS_CM

MOST = 0.8
STILL = np.zeros(8, np.float32)
OPEN = np.zeros(8, bool)


def along(path: np.ndarray) -> np.ndarray:
    """Return motion of which one direction follows a path (T,)."""
    return np.stack([path, np.zeros(len(path))], axis=1).astype(np.float32)


def test_of_steady_motion_every_third_frame_is_computed() -> None:
    assert key_frames.choose(along(np.arange(8.0)), STILL, OPEN, MOST) == [0, 3, 6, 7]


@pytest.mark.parametrize("count", [1, 2])
def test_the_first_and_the_last_frame_are_computed(count: int) -> None:
    keys = key_frames.choose(along(np.arange(count)), STILL[:count], OPEN[:count], MOST)
    assert keys == list(range(count))


@pytest.mark.parametrize("off", [1.01 * MOST, 0.99 * MOST])
def test_a_frame_off_the_line_is_computed(off: float) -> None:
    path = np.zeros(8)
    path[2] = off
    assert (2 in key_frames.choose(along(path), STILL, OPEN, MOST)) == (off > MOST)


@pytest.mark.parametrize("off", [1.01 * MOST_LIPS_CM, 0.99 * MOST_LIPS_CM])
def test_lips_that_shut_for_one_frame_are_computed(off: float) -> None:
    lips = np.full(8, 0.5, np.float32)
    lips[2] -= off
    assert (2 in key_frames.choose(along(np.zeros(8)), lips, OPEN, MOST)) == (off > MOST_LIPS_CM)


def test_every_frame_of_a_blink_is_computed() -> None:
    blinking = np.arange(8) // 2 == 2
    assert {4, 5} <= {*key_frames.choose(along(np.zeros(8)), STILL, blinking, MOST)}


@given(seed=st.integers(0, 10**6), count=st.integers(1, 32))
def test_all_frames_between_key_frames_are_within_the_limits(seed: int, count: int) -> None:
    drawn = np.random.default_rng(seed)
    motion = drawn.normal(0, 0.5, (count, 3)).cumsum(axis=0).astype(np.float32)
    lips = drawn.normal(0, 0.05, count).cumsum().astype(np.float32)
    blinking = drawn.random(count) < 0.1
    keys = key_frames.choose(motion, lips, blinking, MOST)
    assert (keys[0], keys[-1]) == (0, count - 1)
    for first, last in itertools.pairwise(keys):
        assert 1 <= last - first <= MOST_APART
        for frame in range(first + 1, last):
            share = (frame - first) / (last - first)
            between = motion[first] + share * (motion[last] - motion[first])
            assert np.linalg.norm(motion[frame] - between) <= MOST + 1e-5
            assert abs(lips[frame] - lips[first] - share * (lips[last] - lips[first])) <= MOST_LIPS_CM + 1e-5
            assert not blinking[frame]
