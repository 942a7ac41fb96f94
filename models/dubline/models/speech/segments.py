"""Segments of speech, from the probabilities of a voice and the energy around them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F

from dubline.models.speech.voice_activity import WINDOW
from dubline.models.stage2.log_mel import HOP

if TYPE_CHECKING:
    from torch import Tensor

_DB: Final = math.log(10) / 10
#: A segment begins at the first of these probabilities and ends below the second, as in the package's own rule.
BEGINS: Final = 0.5
ENDS: Final = 0.35
#: Windows of the shortest segment, 96 ms; a shorter one is a note or a click.
SHORTEST: Final = 3
#: Log-mel frames in which sounds without a voice may precede or follow it, such as the burst of a stop: 0.4 s.
REACH: Final = 40
#: Log-mel frames that are added on either side: lips move before and after the sound.
MARGIN: Final = 10
#: A sound is louder than the quietest fifth of a second within a second by this, and not quieter than the loud parts of
#: its segment by that.
ABOVE_FLOOR: Final = 8 * _DB
BELOW_LOUD: Final = 27 * _DB
#: Frames on either side over which the gate is smoothed.
_RAMP: Final = 4
_NEAR: Final = 100
_SHORT: Final = 5
_FIFTH: Final = 20


class Segment(NamedTuple):
    """Log-mel frames `start` to `stop` of a recording."""

    start: int
    """First frame."""
    stop: int
    """Frame after the last one."""


def segments(probabilities: Tensor, energy: Tensor) -> list[Segment]:
    """Return the segments of speech, with their margins, in order and apart from each other.

    Args:
        probabilities: (n,), of the windows of a recording.
        energy: (L,), log energies of its log-mel frames.
    """
    found: list[Segment] = []
    for voiced in _voiced(probabilities, len(energy)):
        start, stop = _with_sounds(voiced, energy)
        if found and found[-1].stop >= start:
            start = found.pop().start
        found.append(Segment(start, stop))
    return found


def gate(found: list[Segment], frames: int) -> Tensor:
    """Return the weight of speech of each log-mel frame, (frames,): 1 in segments, 0 elsewhere, with short ramps."""
    weight = torch.zeros(1, frames)
    for start, stop in found:
        weight[:, start:stop] = 1
    padded = F.pad(weight, (_RAMP, _RAMP), mode="replicate")
    return F.avg_pool1d(padded, 2 * _RAMP + 1, stride=1)[0]


def _voiced(probabilities: Tensor, frames: int) -> list[Segment]:
    """Return the parts with a voice."""
    found, start = [], -1
    for number, value in enumerate([*probabilities.tolist(), 0.0]):
        if start < 0 and value >= BEGINS:
            start = number
        elif start >= 0 and value < ENDS:
            begins, ends = start * WINDOW // HOP, min(frames, -(-number * WINDOW // HOP))
            if number - start >= SHORTEST and begins < ends:
                found.append(Segment(begins, ends))
            start = -1
    return found


def _with_sounds(voiced: Segment, energy: Tensor) -> Segment:
    """Extend a part with a voice by the sounds next to it, and by the margins."""
    first, last = max(0, voiced.start - REACH), min(len(energy), voiced.stop + REACH)
    near = slice(max(0, first - _NEAR), last + _NEAR)
    floor = float(_means(energy[near], _FIFTH).min())
    loud = float(energy[voiced.start : voiced.stop].quantile(0.9))
    sounds = _means(energy[first:last], _SHORT) > max(floor + ABOVE_FLOOR, loud - BELOW_LOUD)
    sounds[voiced.start - first : voiced.stop - first] = True
    numbers = sounds.nonzero().flatten()
    return Segment(max(0, first + int(numbers[0]) - MARGIN), min(len(energy), first + int(numbers[-1]) + 1 + MARGIN))


def _means(energy: Tensor, frames: int) -> Tensor:
    """Return the log mean energy around each frame."""
    padded = F.pad(energy.exp()[None], (frames // 2, frames - 1 - frames // 2), mode="replicate")
    return F.avg_pool1d(padded, frames, stride=1)[0].clamp(min=1e-12).log()
