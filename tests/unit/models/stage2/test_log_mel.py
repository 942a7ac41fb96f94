"""The speech front end: independence of chunk lengths and of the gain of the recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models.stage2.log_mel import BANDS, HOP, SAMPLE_RATE_HZ, Loudness, normalise, stream_log_mel

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tone(hz: float, seconds: float) -> NDArray[np.float32]:
    time = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def mel_of(samples: NDArray[np.float32], frames: int, chunks: int = 1, block: int = 1000) -> Tensor:
    return torch.cat(list(stream_log_mel(np.array_split(samples, chunks), frames, block=block)))


@pytest.mark.parametrize(("chunks", "block"), [(1, 7), (13, 1000), (500, 50)])
def test_any_chunking_gives_the_same_frames(chunks: int, block: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    torch.testing.assert_close(mel_of(samples, 125, chunks, block), mel_of(samples, 125), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 400])
def test_exactly_the_requested_frames_are_yielded(frames: int) -> None:
    assert mel_of(tone(440, 1), frames).shape == (frames, BANDS)


def test_frames_after_the_recording_are_silent() -> None:
    mel = mel_of(tone(440, 0.5), 100)
    assert mel[60:].max() < mel[:45].max() - 10


def test_higher_tones_have_their_peak_in_higher_bands() -> None:
    peaks = [int(mel_of(tone(hz, 0.5), 50)[25].argmax()) for hz in (200, 800, 3000)]
    assert peaks == sorted(set(peaks))


def test_an_impulse_appears_in_the_frame_it_belongs_to() -> None:
    samples = np.zeros(SAMPLE_RATE_HZ, np.float32)
    samples[50 * HOP + HOP // 2] = 1
    assert int(mel_of(samples, 100).sum(-1).argmax()) == 50


def test_normalised_frames_do_not_depend_on_the_recordings_gain() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
    samples[: SAMPLE_RATE_HZ // 2] *= 0.05
    results = []
    for gain in (1.0, 0.1):
        mel, loudness = mel_of(samples * np.float32(gain), 100), Loudness()
        loudness.update(mel)
        results.append(normalise(mel, loudness.level))
    torch.testing.assert_close(results[0], results[1], atol=0.05, rtol=0)
