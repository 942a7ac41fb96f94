"""Key frames are few, and the motion of all other frames is close to a combination of theirs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.models.motion import key_frames
from dubline.models.motion.key_frames import LEAST, STIFFNESS, KeyFrames

MOST = 0.8
CALM = np.zeros(16, bool)


def along(path: np.ndarray) -> np.ndarray:
    """Return motion of which one direction follows a path (T,)."""
    return np.stack([path, np.zeros(len(path))], axis=1)


def chosen(motion: np.ndarray, blinking: np.ndarray) -> KeyFrames:
    return key_frames.choose(motion, blinking, MOST, np.zeros(len(motion), bool))


def test_of_steady_motion_the_first_and_the_last_frame_are_computed() -> None:
    keys, weights = chosen(along(np.arange(16.0)), CALM)
    assert keys == [0, 15]
    np.testing.assert_allclose(weights[:, 1], np.arange(16) / 15, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_no_frame_of_a_short_batch_is_combined(count: int) -> None:
    keys, weights = chosen(along(np.arange(count)), CALM[:count])
    assert keys == list(range(count))
    assert np.array_equal(weights, np.eye(count))


@pytest.mark.parametrize("off", [1.01 * MOST, 0.99 * MOST])
def test_a_frame_off_the_line_is_computed(off: float) -> None:
    path = np.zeros(8)
    path[2] = off
    assert (2 in chosen(along(path), CALM[:8]).frames) == (off > MOST)


def test_lips_that_open_again_are_combined_of_lips_that_were_open() -> None:
    gap = np.array([0.0, 0, 10, 0, 0, 10, 0, 0, 10, 0, 0, 10, 0, 0, 10, 0])
    keys, weights = chosen(along(gap), CALM)
    assert (gap[keys] > 0).sum() == 1
    np.testing.assert_allclose(weights @ gap[keys], gap, atol=MOST)


def test_a_head_that_moves_in_two_circles_needs_key_frames_of_one() -> None:
    angle = np.arange(16) * np.pi / 4
    keys, _ = chosen(10 * np.stack([np.sin(angle), np.cos(angle)], axis=1), CALM)
    assert len(keys) <= 8


def test_a_blink_is_computed_and_in_no_other_frame() -> None:
    blinking = np.isin(np.arange(16), [0, 6, 7])
    path = np.where(blinking, 5.0, 0.0)
    keys, weights = chosen(along(path), blinking)
    assert keys == [0, 1, 6, 7, 15]
    assert not weights[~blinking][:, np.isin(keys, [0, 6, 7])].any()


def test_all_frames_of_a_blink_are_computed() -> None:
    assert chosen(along(np.zeros(4)), ~CALM[:4]).frames == [0, 1, 2, 3]


@given(seed=st.integers(0, 10**6), count=st.integers(1, 32))
def test_all_other_frames_are_within_the_limit(seed: int, count: int) -> None:
    drawn = np.random.default_rng(seed)
    motion = drawn.normal(0, 0.5, (count, 5)).cumsum(axis=0)
    blinking = drawn.random(count) < 0.1
    keys, weights = chosen(motion, blinking)
    assert keys == sorted({*keys, *np.flatnonzero(blinking)})
    assert np.array_equal(weights[keys], np.eye(len(keys)))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    # Generated pixels are hardly extrapolated (decision 0070).
    assert weights.min() >= -0.05 - 1e-6
    assert np.linalg.norm(weights @ motion[keys] - motion, axis=1).max() <= MOST + 1e-4


@given(seed=st.integers(0, 10**6))
def test_weights_are_those_of_a_ridge_regression(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    motion, keys = drawn.normal(0, 1, (8, 5)), np.array([0, 2, 3, 7])
    others, penalty = np.array([1, 4, 5, 6]), STIFFNESS * MOST**2
    weights, errors = key_frames._combined(motion @ motion.T, keys, others, penalty)
    for frame, found, error in zip(others, weights, errors, strict=True):
        line = np.array([np.interp(frame, keys, one) for one in np.eye(4)])
        # The penalty as further rows, and the sum of the changes as one that must be 0.
        rows = np.vstack([motion[keys].T, np.sqrt(penalty) * np.eye(4), np.full((1, 4), 1e6)])
        rest = np.concatenate([motion[frame] - line @ motion[keys], np.zeros(5)])
        change = np.linalg.lstsq(rows, rest, rcond=None)[0]
        free = line + change
        if free.min() >= LEAST:
            np.testing.assert_allclose(found, free, atol=1e-5)
        else:
            assert found.min() == pytest.approx(LEAST)
            assert found[free < LEAST] == pytest.approx(LEAST)
            change = found - line
        np.testing.assert_allclose(found.sum(), 1, atol=1e-9)
        np.testing.assert_allclose(error, np.square(rows[:-1] @ change - rest[:-1]).sum(), rtol=1e-5)


def test_weights_beside_a_bounded_one_are_those_of_a_ridge_regression() -> None:
    motion, keys = np.array([[0.0, 0], [10, 0], [5, 0], [0, 10]]), np.array([0, 1, 3])
    motion[2] = -8, 10
    weights, _ = key_frames._combined(motion @ motion.T, keys, np.array([2]), 1e-6)
    # The second is bounded. The first and the third, which make up the rest, are those nearest to the motion.
    share = np.linspace(0, 1 - 2 * LEAST, 10_001)
    tried = np.stack([1 - LEAST - share, np.full_like(share, LEAST), share], axis=1)
    best = tried[np.square(tried @ motion[keys] - motion[2]).sum(axis=1).argmin()]
    np.testing.assert_allclose(weights[0], best, atol=1e-3)


def test_frames_that_have_to_be_computed_are_key_frames() -> None:
    computed = np.isin(np.arange(16), [5, 6])
    keys, weights = key_frames.choose(along(np.arange(16.0)), CALM, MOST, computed)
    assert keys == [0, 5, 6, 15]
    np.testing.assert_allclose(weights @ np.array(keys), np.arange(16), atol=1e-5)


def test_frames_on_either_side_of_a_step_of_the_lips_are_told() -> None:
    gap = np.array([0.0, 0.1, 0.2, 0.8, 0.9, 0.9, 0.3, 0.3])
    assert np.flatnonzero(key_frames.beside_steps(gap, 0.5)).tolist() == [2, 3, 5, 6]
    assert not key_frames.beside_steps(gap, np.inf).any()
    assert not key_frames.beside_steps(gap[:1], 0.5).any()
