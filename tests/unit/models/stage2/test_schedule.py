"""The schedule with each objective: a correct prediction leads from any noise to the clean motion."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch

from dubline.models.presets import Objective
from dubline.models.stage2 import schedule

objectives = pytest.mark.parametrize("objective", get_args(Objective))


@objectives
def test_the_target_gives_the_clean_motion(objective: Objective) -> None:
    torch.manual_seed(0)
    clean, noise = torch.randn(5, 7, 3), torch.randn(5, 7, 3)
    time = torch.tensor([0.0, 0.2, 0.5, 0.9, 0.98]).clamp_min(schedule.start(objective))[:, None, None]
    noisy = schedule.interpolate(clean, noise, time)
    target = schedule.target(clean, noise, objective)
    torch.testing.assert_close(schedule.clean_estimate(noisy, target, time, objective), clean, atol=1e-5, rtol=1e-5)


@objectives
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_sampling_with_a_perfect_prediction_returns_the_clean_motion(objective: Objective, steps: int) -> None:
    torch.manual_seed(1)
    clean = torch.randn(2, 7, 3)
    motion = schedule.begin(torch.randn(2, 7, 3), objective)
    for time, after in itertools.pairwise(schedule.times(steps, objective)):
        # The noise that the point at this time implies for the clean motion.
        noise = (motion - time * clean) / (1 - time)
        motion = schedule.step(motion, schedule.target(clean, noise, objective), time, after, objective)
    torch.testing.assert_close(motion, clean, atol=1e-4, rtol=1e-4)


@objectives
def test_a_step_equals_the_deterministic_ddim_step(objective: Objective) -> None:
    torch.manual_seed(2)
    noisy, predicted = torch.randn(2, 7, 3), torch.randn(2, 7, 3)
    time, after = torch.tensor(0.4), torch.tensor(0.6)
    clean = schedule.clean_estimate(noisy, predicted, time, objective)
    noise = (noisy - time * clean) / (1 - time)
    expected = after * clean + (1 - after) * noise
    torch.testing.assert_close(schedule.step(noisy, predicted, time, after, objective), expected)


@objectives
def test_sampling_starts_with_the_standard_deviation_of_training(objective: Objective) -> None:
    torch.manual_seed(3)
    clean, noise = torch.randn(2, 100_000)
    seen = schedule.interpolate(clean, noise, torch.tensor(schedule.start(objective)))
    assert schedule.begin(noise, objective).std() == pytest.approx(seen.std().item(), rel=0.01)
