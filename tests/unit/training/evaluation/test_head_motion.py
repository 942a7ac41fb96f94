"""Scores of landmarks: steps of the head and the jaw's share."""

from __future__ import annotations

import numpy as np
import pytest

from dubline.training.evaluation.scores.head_motion import CHIN, LOWER_LIP, UPPER_LIP, jaw_share, largest_step
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

FRAMES = 12
WIDTH = float(np.linalg.norm(FRAMED_LANDMARKS[0] - FRAMED_LANDMARKS[16]))


def test_the_largest_step_is_in_widths_of_the_face() -> None:
    points = np.tile(FRAMED_LANDMARKS.astype(float), (FRAMES, 1, 1))
    assert largest_step(points) == 0
    points[5:, :, 0] += 0.1 * WIDTH
    points[8:, :, 1] += 0.04 * WIDTH
    # A mouth moves without the head.
    points[3, 48:68] += 0.5
    assert largest_step(points) == pytest.approx(0.1)
    assert largest_step(2 * points) == pytest.approx(0.1)


def test_frames_without_a_face_are_left_out() -> None:
    points = np.tile(FRAMED_LANDMARKS.astype(float), (FRAMES, 1, 1))
    points[4:6] = np.nan
    points[5:, :, 0] += 1
    assert largest_step(points) == 0
    assert np.isnan(largest_step(np.full((FRAMES, 68, 2), np.nan)))
    assert np.isnan(jaw_share(np.full((FRAMES, 68, 2), np.nan)))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_jaws_share_is_the_chins_motion_over_the_opening(share: float) -> None:
    random = np.random.default_rng(0)
    points = np.tile(FRAMED_LANDMARKS.astype(float), (FRAMES, 1, 1))
    opening = random.uniform(0, 0.2, FRAMES)
    points[:, LOWER_LIP] = points[:, UPPER_LIP]
    points[:, LOWER_LIP, 1] += 0.01 + opening
    points[:, CHIN, 1] += share * opening
    # Heads that move as a whole change nothing.
    points += random.uniform(-0.3, 0.3, (FRAMES, 1, 2))
    points[3] = np.nan
    assert jaw_share(points) == pytest.approx(share, rel=0.1, abs=1e-6)


def test_still_lips_have_no_jaw_share() -> None:
    assert np.isnan(jaw_share(np.tile(FRAMED_LANDMARKS.astype(float), (FRAMES, 1, 1))))
