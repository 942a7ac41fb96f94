from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.unit.models.speech.sounds import RATE_HZ, chords, embedded, noise, quiet, rms

from dubline.models import sampling
from dubline.models.motion.readout import LIPS
from dubline.models.motion.silence import silence
from dubline.models.speech.offset import without_offset
from dubline.models.speech.recording import Recording
from dubline.models.stage2.log_mel import BANDS, Loudness, normalise, stream_log_mel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks

FPS = 25


def stream(samples: np.ndarray, chunk: int = RATE_HZ) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: (samples[start : start + chunk] for start in range(0, len(samples), chunk))


def settled(samples: np.ndarray, chunk: int = RATE_HZ) -> torch.Tensor:
    """Return the normalised log-mel of a recording, (L, BANDS)."""
    frames = -(-len(samples) // 640) * 4
    recording = Recording(stream(samples, chunk), frames)
    assert sum(len(mel) for mel in recording.measure()) == frames
    return torch.cat(list(recording.normalised()))


def silent(samples: np.ndarray, start_s: float, stop_s: float) -> float:
    """Return the mean weight of silence of a part."""
    weight = silence(settled(samples)[None])[0]
    return float(weight[round(start_s * FPS) : round(stop_s * FPS)].mean())


def plain(samples: np.ndarray) -> torch.Tensor:
    """Return log-mel that is normalised by the loudness of the whole recording only."""
    mel, loudness = torch.cat(list(stream_log_mel([samples], -(-len(samples) // 640) * 4))), Loudness()
    loudness.update(mel)
    return normalise(mel, loudness.level)


def test_clean_speech_stays_as_it_is(voice: np.ndarray) -> None:
    found, before = settled(voice), plain(voice)
    assert float((found - before).abs().mean()) < 0.02
    assert float(torch.corrcoef(torch.stack([found.flatten(), before.flatten()]))[0, 1]) > 0.999


def test_noise_around_short_speech_is_silence(voice: np.ndarray) -> None:
    sound = embedded(voice, noise(64, rms(voice) / 100), 30)
    weight = silence(settled(sound)[None])[0]
    assert float(weight[: 29 * FPS].min()) > 0.99
    assert float(weight[35 * FPS :].min()) > 0.99
    assert float(weight[31 * FPS : 33 * FPS].mean()) < 0.5


@pytest.mark.parametrize("snr_db", [20, 10])
def test_a_pause_in_noise_is_silence(voice: np.ndarray, snr_db: int) -> None:
    clean = np.concatenate([voice, quiet(1.5), voice])
    sound = clean + noise(len(clean) / RATE_HZ, rms(voice) * 10 ** (-snr_db / 20))[: len(clean)]
    start_s = len(voice) / RATE_HZ
    assert silent(sound, start_s + 0.25, start_s + 1.25) >= 0.9


def test_music_is_silence(voice: np.ndarray) -> None:
    sound = embedded(voice, chords(3 + len(voice) / RATE_HZ), 1.5)
    end_s = 1.5 + len(voice) / RATE_HZ
    assert silent(sound, 0, 1.2) > 0.9
    assert silent(sound, end_s + 0.4, end_s + 1.5) > 0.9
    assert silent(sound, 1.8, end_s - 0.2) < 0.5


def test_a_speaker_30_db_below_another_moves_the_lips(voice: np.ndarray) -> None:
    sound = np.concatenate([voice, quiet(1), voice * np.float32(10**-1.5)])
    start_s = len(voice) / RATE_HZ + 1
    # The weight of the same speech at its own level is .14.
    assert silent(sound, start_s + 0.2, start_s + len(voice) / RATE_HZ) < 0.35


def test_an_offset_changes_nothing(voice: np.ndarray) -> None:
    assert float((settled(voice + np.float32(0.3)) - settled(voice)).abs().mean()) < 0.01


def test_sounds_without_a_voice_move_the_mouth_as_before() -> None:
    sound = np.concatenate([noise(1, 0.1), quiet(0.5), noise(1, 0.1)])
    assert silent(sound, 0.2, 0.9) == 0


def test_a_moment_that_sounds_like_a_voice_silences_nothing_else(voice: np.ndarray) -> None:
    sound = np.concatenate([noise(1, 0.02), voice[RATE_HZ : RATE_HZ + RATE_HZ // 5], noise(1, 0.02)])
    assert silent(sound, 0.2, 0.9) == 0


@pytest.mark.parametrize("samples", [quiet(0.04), quiet(1), noise(0.05, 0.1)])
def test_recordings_without_anything_are_normalised(samples: np.ndarray) -> None:
    found = settled(samples)
    assert found.shape[1:] == (BANDS,)
    assert bool(found.isfinite().all())


def test_the_chunks_of_the_recording_do_not_matter(voice: np.ndarray) -> None:
    sound = np.concatenate([noise(2, 0.003), voice]).astype(np.float32)
    whole = settled(sound)
    for chunk in (777, 1600, len(sound)):
        torch.testing.assert_close(settled(sound, chunk), whole, atol=1e-3, rtol=0)


def test_an_offset_that_changes_is_followed() -> None:
    tone = (0.1 * np.sin(np.arange(10 * RATE_HZ) / 10)).astype(np.float32)
    offset = np.repeat(np.float32([0.2, -0.2]), 5 * RATE_HZ)
    left = np.concatenate(list(without_offset([tone + offset])))
    assert len(left) == len(tone)
    assert np.abs(left[:RATE_HZ] - tone[:RATE_HZ]).max() < 0.02
    assert abs(float(left[-RATE_HZ // 2 :].mean())) < 0.05


def test_the_last_samples_have_the_offset_of_those_before() -> None:
    wave = np.sin(np.arange(16_037) / 500).astype(np.float32)
    left = np.concatenate(list(without_offset([wave + np.float32(0.3)])))
    whole = np.concatenate(list(without_offset([np.tile(wave, 2) + np.float32(0.3)])))
    np.testing.assert_allclose(left[-37:], whole[16_000:16_037], atol=0.1)
    assert left[-37:].mean() == pytest.approx(wave[-37:].mean(), abs=0.2)


def test_a_short_recording_loses_its_offset_too() -> None:
    assert np.abs(np.concatenate(list(without_offset([np.full(500, 0.3, np.float32)])))).max() < 1e-6


def test_music_before_a_voice_does_not_move_the_lips(voice: np.ndarray, networks: Networks, source: Source) -> None:
    sound = embedded(voice[: 2 * RATE_HZ], chords(4), 2)
    motion = torch.cat(list(sampling.sample_motion(networks, source, stream(sound), 100, seed=0)))
    whiten = networks.diffusion.whitening
    read = networks.readout(whiten(motion.float(), source.motion) - whiten(source.motion, source.motion))[:, LIPS]
    speed = read.diff().abs()
    # .014 without the detector of voices.
    assert float(speed[: 2 * FPS - 12].mean()) <= 0.01
    assert float(speed[2 * FPS + 5 :].mean()) > 0.03
