from __future__ import annotations

import math

import torch

from dubline.models.speech.levels import LOWERED, QUIETEST, levels
from dubline.models.speech.segments import Segment
from dubline.models.stage2.log_mel import Loudness

DB = math.log(10) / 10


def energy(*parts: tuple[int, float]) -> torch.Tensor:
    """Return log energies of parts (frames, dB), each with some modulation."""
    return torch.cat([db * DB + torch.linspace(-0.5, 0.5, frames).sin() for frames, db in parts])


def test_short_speech_decides_the_level_of_a_long_recording() -> None:
    sound = energy((3000, 0), (400, 40), (3000, 0))
    alone = levels(energy((400, 40)), [Segment(0, 400)])[0]
    for found in ([Segment(3000, 3400)], []):
        assert abs(levels(sound, found)[3200] - alone) < 3 * DB


def test_louder_sounds_without_a_voice_do_not_count() -> None:
    sound = energy((3000, 50), (400, 40), (3000, 50))
    alone = levels(energy((400, 40)), [Segment(0, 400)])[0]
    assert abs(levels(sound, [Segment(3000, 3400)])[3200] - alone) < 3 * DB


def test_the_level_of_a_quiet_speaker_is_that_at_the_edges_too() -> None:
    for sound in (energy((400, 10), (50, -20), (400, 40)), energy((400, 40), (50, -20), (400, 10))):
        level = levels(sound, [Segment(0, 400), Segment(450, 850)])
        assert abs(level[0] - level[100]) < 2 * DB
        assert abs(level[-1] - level[-100]) < 2 * DB


def test_speech_with_a_pause_has_the_level_that_the_networks_know() -> None:
    sound = energy((400, 40), (100, 0), (400, 40))
    known = Loudness()
    known.update(sound[:, None])
    assert abs(levels(sound, [Segment(0, 400), Segment(500, 900)])[0] - known.level) < DB


def test_a_speaker_who_is_much_quieter_gets_a_lower_level() -> None:
    found = [Segment(0, 400), Segment(450, 850)]
    level = levels(energy((400, 40), (50, -20), (400, 10)), found)
    assert abs(level[200] - level[600] - 20 * DB) < 3 * DB
    assert level.diff().abs().max() < DB


def test_quieter_syllables_are_left_as_they_are() -> None:
    level = levels(energy((200, 40), (100, 33), (200, 40)), [Segment(0, 500)])
    assert level.max() - level.min() < 0.1


def test_levels_are_bounded() -> None:
    found = [Segment(0, 300), Segment(400, 700)]
    level = levels(energy((300, 90), (100, -60), (300, -60)), found)
    assert level[200] - level[600] <= LOWERED + 1e-3
    assert levels(energy((300, -100)), [Segment(0, 300)]).max() == QUIETEST
    assert levels(energy((300, -100)), []).max() == Loudness.SILENCE
