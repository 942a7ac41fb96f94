from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.models.speech.sounds import chords, noise, quiet

from dubline.models.speech import voice_activity
from dubline.models.speech.voice_activity import CONTEXT, WINDOW, VoiceActivity


def probabilities(samples: np.ndarray, chunk: int = 1600) -> torch.Tensor:
    activity = VoiceActivity()
    found = [activity.update(samples[start : start + chunk]) for start in range(0, len(samples), chunk)]
    return torch.cat([*found, activity.finish()])


@pytest.mark.parametrize("gain_db", [0, -20, -40, -60])
def test_a_voice_is_found_at_any_level(voice: np.ndarray, gain_db: int) -> None:
    found = probabilities(voice * np.float32(10 ** (gain_db / 20)))
    assert float((found > 0.5).float().mean()) > 0.7


def test_only_quiet_recordings_are_amplified() -> None:
    for peak, gain in ((1.0, 1.0), (0.1, 1.0), (voice_activity.PEAK / 2, 2.0), (1e-9, voice_activity.GAIN)):
        windows = torch.full((2, CONTEXT + WINDOW), peak)
        torch.testing.assert_close(VoiceActivity()._amplified(windows), gain * windows)


def test_noise_music_and_quiet_are_no_voice() -> None:
    for name, sound in (("noise", noise(3, 0.1)), ("faint noise", noise(3, 1e-4)), ("quiet", quiet(3))):
        assert float(probabilities(sound).max()) < 0.5, name
    assert float((probabilities(chords(3)) > 0.5).float().mean()) < 0.05


def test_the_chunks_do_not_matter(voice: np.ndarray) -> None:
    whole = probabilities(voice, len(voice))
    assert len(whole) == -(-len(voice) // WINDOW)
    for chunk in (160, 1000, 4001):
        torch.testing.assert_close(probabilities(voice, chunk), whole, atol=1e-4, rtol=0)


def test_windows_computed_together_equal_those_computed_one_by_one(voice: np.ndarray) -> None:
    network = voice_activity._network()
    padded = torch.from_numpy(np.concatenate([np.zeros(CONTEXT, np.float32), voice[: 40 * WINDOW]]))
    windows = padded.unfold(0, CONTEXT + WINDOW, WINDOW)
    start = (torch.zeros(1, 128), torch.zeros(1, 128))
    together, _ = network(windows, start)
    state, one_by_one = start, []
    for window in windows:
        found, state = network(window[None], state)
        one_by_one.append(found)
    torch.testing.assert_close(together, torch.cat(one_by_one), atol=1e-5, rtol=0)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    voice_activity._network.cache_clear()
    monkeypatch.setattr(voice_activity, "SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match=r"install version 6\.2\.3"):
        VoiceActivity()
