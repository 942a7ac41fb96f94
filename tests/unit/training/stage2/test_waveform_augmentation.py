"""Whatever is done to speech, it stays where it was in time: within a mel frame, at the scaled time."""

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
    """Vowels of 0.3 s that begin at ONSETS."""
    speech = np.zeros(64_000)
    time = np.arange(4800) / 16_000
    vowel = sum(np.sin(2 * np.pi * pitch_hz * k * time) / k for k in range(1, 8))
    for onset in ONSETS:
        speech[onset : onset + len(vowel)] = 0.3 * vowel
    return speech.astype(np.float32)


def found_onsets(speech: NDArray[np.float32]) -> NDArray[np.intp]:
    """Where it becomes loud after a tenth of a second that was not."""
    power = np.convolve(speech.astype(np.float64) ** 2, np.ones(64) / 64)[: len(speech)]
    loud = np.flatnonzero(power > 0.05 * power.max())
    return loud[np.flatnonzero(np.diff(loud, prepend=-16_000) > 1600)]


def assert_in_time(speech: NDArray[np.float32], speed: float = 1.0) -> None:
    found = found_onsets(speech)
    assert len(found) == len(ONSETS)
    assert np.abs(found - found_onsets(bursts()) / speed).max() < MEL_FRAME


@pytest.mark.parametrize("ratio", [0.84, 0.95, 1.19])
def test_pitch_changes_and_time_does_not(ratio: float) -> None:
    higher = change_pitch(bursts(), ratio)
    assert len(higher) == 64_000
    assert_in_time(higher)
    spectrum = np.abs(np.fft.rfft(higher[ONSETS[0] : ONSETS[0] + 4800]))
    assert np.argmax(spectrum) * 16_000 / 4800 == pytest.approx(150 * ratio, abs=7)


@pytest.mark.parametrize("speed", [0.88, 1.0, 1.12])
def test_a_pace_scales_time_exactly(speed: float) -> None:
    paced, exact = change_speed(bursts(), speed)
    assert exact == pytest.approx(speed, rel=1e-4)
    assert_in_time(paced, exact)


@pytest.mark.parametrize("codec", [*CODECS, TELEPHONE])
def test_a_codec_is_heard_but_delays_nothing(codec: str) -> None:
    if codec != TELEPHONE and codec not in usable_codecs():
        pytest.skip(f"this build of FFmpeg does not encode {codec}")
    speech = bursts()
    coded = transcode(speech, codec, np.random.default_rng(0))
    assert coded.shape == speech.shape
    assert_in_time(coded)
    assert np.abs(coded - speech).max() > 0.001


def test_an_echo_comes_after_the_sound() -> None:
    impulse = np.zeros(16_000, np.float32)
    impulse[4000] = 1
    made = add_reverb(impulse, 0.4, np.random.default_rng(0))
    assert np.argmax(np.abs(made)) == 4000
    assert np.abs(made[:4000]).max() < 1e-5
    assert np.abs(made[4001:9000]).max() > 0.001


@pytest.mark.parametrize("others", [0, 4])
def test_noise_is_as_loud_as_was_asked_for(others: int) -> None:
    random = np.random.default_rng(0)
    speech = bursts()
    voices = [random.normal(0, 0.1, 40_000).astype(np.float32) for _ in range(others)]
    for _ in range(6):
        noise = add_noise(speech, random, voices) - speech
        ratio_db = 10 * np.log10((speech**2).mean() / (noise**2).mean())
        assert 4.9 < ratio_db < 35.1


def test_recordings_differ_stay_in_range_and_say_their_pace() -> None:
    random = np.random.default_rng(1)
    augmented = [augment_waveform(bursts(), random) for _ in range(12)]
    assert all(
        augmented.speech.dtype == np.float32 and np.abs(augmented.speech).max() <= 1.3 for augmented in augmented
    )
    assert all(len(augmented.speech) == pytest.approx(64_000 / augmented.speed, abs=1) for augmented in augmented)
    assert len({augmented.speed for augmented in augmented}) > 3
    quiet = [augmented for augmented in augmented if len(found_onsets(augmented.speech)) == len(ONSETS)]
    assert len(quiet) > 3
    for augmented in quiet:
        assert_in_time(augmented.speech, augmented.speed)


def test_silence_stays_silence() -> None:
    silence = np.zeros(16_000, np.float32)
    for seed in range(8):
        augmented = augment_waveform(silence, np.random.default_rng(seed))
        assert np.abs(augmented.speech).max() < 1e-3
