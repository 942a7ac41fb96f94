"""Weight of silence: pauses, closures of stops, noise, continuity and independence of the window."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dubline.models.motion.silence import MARGIN_FRAMES, RAMP_FRAMES, silence
from dubline.models.stage2.log_mel import Loudness, normalise, stream_log_mel

REACH = MARGIN_FRAMES + RAMP_FRAMES


def mel_of(*parts: tuple[float, float], noise: float = 0.0) -> Tensor:
    """Return normalised log-mel of noise in parts (seconds, amplitude), with background noise added."""
    random = np.random.default_rng(0)
    samples = [random.normal(0, 1, round(seconds * 16_000)) * loud for seconds, loud in parts]
    recording = np.concatenate(samples)
    recording = (recording + noise * random.normal(0, 1, len(recording))).astype(np.float32)
    mel = torch.cat(list(stream_log_mel([recording], len(recording) // 160)))
    loudness = Loudness()
    loudness.update(mel)
    return normalise(mel, loudness.level)[None]


def test_a_pause_is_silent_and_speech_is_not() -> None:
    weight = silence(mel_of((1, 0.1), (1, 0), (1, 0.1)))[0]
    assert weight.shape == (75,)
    assert weight[REACH:25].max() == 0
    assert weight[25 + REACH : 50 - REACH].min() > 0.95
    assert weight[50:-REACH].max() == 0


def test_the_closure_of_a_stop_is_not_silent() -> None:
    assert silence(mel_of((1, 0.1), (0.2, 0), (1, 0.1)))[0, REACH:-REACH].max() == 0


def test_a_pause_is_silent_from_three_fifths_of_a_second_on() -> None:
    assert silence(mel_of((1, 0.1), (0.56, 0), (1, 0.1)))[0, REACH:-REACH].max() == 0
    assert silence(mel_of((1, 0.1), (0.88, 0), (1, 0.1)))[0, REACH:-REACH].max() > 0.5


def test_a_sound_shorter_than_a_frame_is_not_silent() -> None:
    mel = torch.full((1, 160, 80), -1.0)
    mel[0, 4 * 20 + 1] = 0.5
    assert silence(mel)[0, 20] == 0


def test_soft_sounds_are_not_silent_and_background_noise_is() -> None:
    assert silence(mel_of((1, 0.1), (1, 0.01), (1, 0.1)))[0, REACH:-REACH].max() == 0
    weight = silence(mel_of((1, 0.1), (1, 0), (1, 0.1), noise=0.002))[0]
    assert weight[25 + REACH : 50 - REACH].min() > 0.95


def test_the_weight_is_continuous() -> None:
    assert silence(mel_of((1, 0.1), (1, 0), (1, 0.1))).diff(dim=1).abs().max() < 0.4


def test_an_empty_recording_is_silent() -> None:
    assert silence(torch.full((2, 80, 80), -1.0)).min() > 0.95


def test_the_weight_of_a_frame_depends_on_its_neighbours_only() -> None:
    mel = mel_of((1, 0.1), (0.5, 0), (0.3, 0.1), (0.7, 0), (0.5, 0.1))
    whole = silence(mel)
    part = silence(mel[:, 4 * 20 : 4 * 60])
    assert torch.equal(part[:, REACH:-REACH], whole[:, 20 + REACH : 60 - REACH])


def test_a_silent_room_is_silent_and_quiet_speech_is_not() -> None:
    assert silence(mel_of((2, 0), noise=1e-4)).min() > 0.95
    assert silence(mel_of((2, 3e-3)))[0, REACH:-REACH].max() == 0
