from __future__ import annotations

import torch
from torch import Tensor

from dubline.models.speech.noise import FULL_FLOOR, PAUSE, QUIET_FLOOR, REDUCED, NoiseFloor, quieten
from dubline.models.stage2.log_mel import BANDS


def even(frames: int, energy: float) -> Tensor:
    """Return log-mel of frames whose power, over all bands, has this logarithm."""
    return torch.full((frames, BANDS), energy) - torch.tensor(float(BANDS)).log()


def subtracted(mel: Tensor, voice: Tensor, level: float, floor: NoiseFloor | None = None) -> Tensor:
    """Return by how much each frame is reduced, (L,)."""
    left = (floor or NoiseFloor()).subtract(mel, voice, torch.full((len(mel),), level))
    return (mel - left).mean(dim=1)


def test_steady_noise_is_reduced_by_a_bounded_amount() -> None:
    found = subtracted(even(300, 0.0), torch.zeros(300), FULL_FLOOR - 1)
    torch.testing.assert_close(found[200:], torch.full((100,), REDUCED))


def test_only_as_much_is_subtracted_as_noise_is_near_the_level() -> None:
    mel = torch.cat([even(200, 0.0), even(1, 5.0)])
    voice = torch.tensor([0.0] * 200 + [1.0])
    nothing, some, all_of_it = (
        float(subtracted(mel, voice, level)[-1])
        for level in (QUIET_FLOOR + 1, (QUIET_FLOOR + FULL_FLOOR) / 2, FULL_FLOOR - 5)
    )
    assert nothing == 0
    # Three times the floor, from a frame that is e^5 louder.
    expected = -torch.log1p(-torch.tensor([1.5, 3.0]) * torch.tensor(-5.0).exp())
    torch.testing.assert_close(torch.tensor([some, all_of_it]), expected, atol=1e-4, rtol=0)


def test_a_moment_without_speech_is_hardly_a_floor() -> None:
    voice = torch.tensor([0.0] * 5 + [1.0] * 5)
    assert float(subtracted(even(10, 0.0), voice, 0.0)[-1]) < 0.25


def test_the_floor_follows_noise_that_changes() -> None:
    floor = NoiseFloor()
    subtracted(even(2000, 0.0), torch.zeros(2000), 0.0, floor)
    subtracted(even(400, 3.0), torch.zeros(400), 0.0, floor)
    torch.testing.assert_close(floor._power.sum().log(), torch.tensor(3.0), atol=0.05, rtol=0)


def test_speech_is_no_noise() -> None:
    voice = torch.tensor([1.0] * 200)
    assert float(subtracted(even(200, 0.0), voice, 0.0).abs().max()) == 0


def test_loud_noise_between_words_becomes_quiet() -> None:
    level = torch.zeros(3)
    mel = torch.cat([even(1, 0.0), even(1, -PAUSE - 2), even(1, 0.0)])
    found = quieten(mel, torch.tensor([0.0, 0.0, 1.0]), level)
    torch.testing.assert_close(found.logsumexp(-1), torch.tensor([-PAUSE, -PAUSE - 2, 0.0]), atol=1e-4, rtol=1e-4)
