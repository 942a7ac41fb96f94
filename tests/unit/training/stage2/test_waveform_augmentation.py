"""Waveform augmentation keeps the timing of speech within a mel frame, at the scaled time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dubline.training.stage2.waveform_augmentation import (
    CODECS,
    TELEPHONE,
    add_noise,
    add_reverb,
    augment_waveform,
    change_pitch,
    change_speed,
    transcode,
    usable_codecs,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEL_FRAME = 160
ONSETS = np.array([8_000, 21_000, 37_500, 52_000])


def bursts(pitch_hz: float = 150) -> NDArray[np.float32]:
    """Return vowels of 0.3 s that start at ONSETS."""
    speech = np.zeros(64_000)
    time = np.arange(4800) / 16_000
    vowel = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 8))
    for onset in ONSETS:
        speech[onset : onset + len(vowel)] = 0.3 * vowel
    return speech.astype(np.float32)


def found_onsets(speech: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the positions where sound starts after 0.1 s of silence."""
    power = np.convolve(speech.astype(np.float64) ** 2, np.ones(64) / 64)[: len(speech)]
    loud = np.flatnonzero(power > 0.05 * power.max())
    return loud[np.flatnonzero(np.diff(loud, prepend=-16_000) > 1600)]


def assert_in_time(speech: NDArray[np.float32], speed: float = 1.0) -> None:
    found = found_onsets(speech)
    assert len(found) == len(ONSETS)
    assert np.abs(found - found_onsets(bursts()) / speed).max() < MEL_FRAME


@pytest.mark.parametrize("ratio", [0.84, 0.95, 1.19])
def test_a_pitch_change_keeps_the_timing(ratio: float) -> None:
    higher = change_pitch(bursts(), ratio)
    assert len(higher) == 64_000
    assert_in_time(higher)
    spectrum = np.abs(np.fft.rfft(higher[ONSETS[0] : ONSETS[0] + 4800]))
    assert np.argmax(spectrum) * 16_000 / 4800 == pytest.approx(150 * ratio, abs=7)


@pytest.mark.parametrize("speed", [0.88, 1.0, 1.12])
def test_a_speed_change_scales_time_exactly(speed: float) -> None:
    scaled, exact = change_speed(bursts(), speed)
    assert exact == pytest.approx(speed, rel=1e-4)
    assert_in_time(scaled, exact)


@pytest.mark.parametrize("codec", [*CODECS, TELEPHONE])
def test_a_codec_changes_the_sound_without_delay(codec: str) -> None:
    if codec != TELEPHONE and codec not in usable_codecs():
        pytest.skip(f"this build of FFmpeg does not encode {codec}")
    speech = bursts()
    coded = transcode(speech, codec, np.random.default_rng(0))
    assert coded.shape == speech.shape
    assert_in_time(coded)
    assert np.abs(coded - speech).max() > 0.001


def test_reverberation_comes_after_the_sound() -> None:
    impulse = np.zeros(16_000, np.float32)
    impulse[4000] = 1
    output = add_reverb(impulse, 0.4, np.random.default_rng(0))
    assert np.argmax(np.abs(output)) == 4000
    assert np.abs(output[:4000]).max() < 1e-5
    assert np.abs(output[4001:9000]).max() > 0.001


@pytest.mark.parametrize("others", [0, 4])
def test_noise_has_a_ratio_within_the_limits(others: int) -> None:
    random = np.random.default_rng(0)
    speech = bursts()
    voices = [random.normal(0, 0.1, 40_000).astype(np.float32) for _ in range(others)]
    for _ in range(6):
        noise = add_noise(speech, random, voices) - speech
        ratio_db = 10 * np.log10((speech**2).mean() / (noise**2).mean())
        assert 4.9 < ratio_db < 35.1


def test_augmented_recordings_differ_and_return_their_speed() -> None:
    random = np.random.default_rng(1)
    recordings = [augment_waveform(bursts(), random) for _ in range(12)]
    assert all(
        recording.speech.dtype == np.float32 and np.abs(recording.speech).max() <= 1.3 for recording in recordings
    )
    assert all(len(recording.speech) == pytest.approx(64_000 / recording.speed, abs=1) for recording in recordings)
    assert len({recording.speed for recording in recordings}) > 3
    quiet = [recording for recording in recordings if len(found_onsets(recording.speech)) == len(ONSETS)]
    assert len(quiet) > 3
    for recording in quiet:
        assert_in_time(recording.speech, recording.speed)


def test_silence_stays_silence() -> None:
    silence = np.zeros(16_000, np.float32)
    for seed in range(8):
        recording = augment_waveform(silence, np.random.default_rng(seed))
        assert np.abs(recording.speech).max() < 1e-3
