from __future__ import annotations

import torch

from dubline.models.speech.segments import BELOW_LOUD, MARGIN, Segment, gate, segments

QUIET, LOUD = -10.0, 5.0


def found(probabilities: list[float], energy: torch.Tensor) -> list[Segment]:
    return segments(torch.tensor(probabilities), energy)


def energies(frames: int, *loud: slice) -> torch.Tensor:
    energy = torch.full((frames,), QUIET)
    for part in loud:
        energy[part] = LOUD
    return energy


def test_a_segment_is_a_voice_with_its_margins() -> None:
    assert found([0.1] * 50 + [0.9] * 25 + [0.1] * 50, energies(400, slice(160, 240))) == [
        Segment(160 - MARGIN - 2, 240 + MARGIN + 2)
    ]


def test_the_burst_before_a_voice_belongs_to_it() -> None:
    (segment,) = found([0.1] * 50 + [0.9] * 25 + [0.1] * 50, energies(400, slice(140, 142), slice(160, 240)))
    assert segment.start < 140


def test_a_sound_that_goes_on_is_no_burst() -> None:
    (segment,) = found([0.1] * 50 + [0.9] * 25 + [0.1] * 50, torch.full((400,), LOUD))
    assert segment == Segment(160 - MARGIN, 240 + MARGIN)


def test_close_parts_are_joined_and_clicks_left_out() -> None:
    voice = [0.9] * 20 + [0.1] * 3 + [0.9] * 20 + [0.1] * 40 + [0.9] * 2 + [0.1] * 30
    energy = energies(360, slice(0, 138), slice(265, 270))
    assert len(found(voice, energy)) == 1
    assert found([0.1] * 100, energy) == []
    assert found([], energy) == []


def test_a_voice_does_not_end_at_one_doubtful_window() -> None:
    assert len(found([0.1] * 20 + [0.9, 0.4, 0.9] + [0.1] * 20, energies(140, slice(64, 74)))) == 1


def test_a_sound_far_below_a_voice_does_not_belong_to_it() -> None:
    energy = energies(400, slice(160, 240))
    energy[135:155] = LOUD - BELOW_LOUD - 0.5
    (segment,) = found([0.1] * 50 + [0.9] * 25 + [0.1] * 50, energy)
    assert segment.start > 140


def test_no_segment_reaches_beyond_the_recording() -> None:
    assert found([0.9] * 26, energies(80, slice(0, 80))) == [Segment(0, 80)]


def test_the_gate_is_open_in_segments_and_at_their_ends_of_the_recording() -> None:
    weight = gate([Segment(0, 100), Segment(200, 300)], 300)
    assert len(weight) == 300
    assert weight[0] == weight[-1] == weight[50] == 1
    assert weight[150] == 0
    assert 0 < weight[100] < 1
