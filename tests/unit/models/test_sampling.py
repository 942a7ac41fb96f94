"""Motion is drawn window after window: exact length, same seed same motion, one stream in constant memory."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dubline.models.autoencoder import Source
from dubline.models.sampling import sample_motion
from dubline.models.weights import Networks


def babble(seconds: float, pieces: int = 1) -> Callable[[], Iterator[NDArray[np.float32]]]:
    random = np.random.default_rng(0)
    loud = np.repeat(random.random(int(seconds * 5) + 1), 3200)[: int(seconds * 16_000)]
    samples = (loud * random.normal(0, 0.1, len(loud))).astype(np.float32)
    return lambda: iter(np.array_split(samples, pieces))


@pytest.mark.parametrize("frames", [1, 59, 60, 61, 130])
def test_exactly_the_frames_asked_for_are_sampled(networks: Networks, source: Source, frames: int) -> None:
    motion = torch.cat(list(sample_motion(networks, source, babble(frames / 25), frames, seed=0)))
    assert motion.shape == (frames, networks.preset.autoencoder.motion)
    assert motion.dtype == torch.float16
    assert motion.isfinite().all()


def test_the_same_seed_gives_the_same_motion_and_another_seed_another(networks: Networks, source: Source) -> None:
    first, again, other = (
        torch.cat(list(sample_motion(networks, source, babble(3), 75, seed=seed))) for seed in (7, 7, 8)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_any_chunking_of_the_speech_gives_the_same_motion(networks: Networks, source: Source) -> None:
    whole, pieces = (
        torch.cat(list(sample_motion(networks, source, babble(4, count), 100, seed=0))) for count in (1, 37)
    )
    torch.testing.assert_close(whole, pieces, atol=2e-2, rtol=1e-2)


def test_windows_are_given_before_the_speech_has_ended(networks: Networks, source: Source) -> None:
    consumed = []

    def endless() -> Iterator[NDArray[np.float32]]:
        consumed.append(0)
        for chunk in np.array_split(next(babble(20)()), 100):
            consumed[-1] += 1
            yield chunk

    windows = sample_motion(networks, source, endless, 500, seed=0)
    next(windows)
    assert consumed[0] == 100, "the first pass hears everything"
    assert consumed[1] < 80, "the second pass reads only what the window needs"
