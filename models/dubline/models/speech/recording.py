"""A recording as the networks read it: log-mel with its level, its noise and its pauses settled, in two passes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from dubline.models.speech.levels import levels
from dubline.models.speech.noise import NoiseFloor, quieten
from dubline.models.speech.offset import without_offset
from dubline.models.speech.segments import BEGINS, gate, segments
from dubline.models.speech.voice_activity import VoiceActivity
from dubline.models.stage2.log_mel import normalise, stream_log_mel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

#: A recording with fewer windows of a voice, 32 ms each, is taken as speech throughout: it may be sung or whispered.
FEWEST: Final = 10
#: Chunks of .1 s in which a voice is looked for at once.
TOGETHER: Final = 20


class Recording:
    """The log-mel of one recording.

    What is kept between the passes are a level and a weight of speech for each log-mel frame, 2.9 MB an hour.

    Args:
        speech: returns a fresh stream of mono 16 kHz samples in [-1, 1] at each call.
        frames: number of log-mel frames.
    """

    def __init__(self, speech: Callable[[], Iterator[NDArray[np.float32]]], frames: int) -> None:
        self._speech, self._frames = speech, frames
        self._level, self._voice = torch.zeros(0), torch.zeros(0)

    def measure(self) -> Iterator[Tensor]:
        """Yield log-mel (L, BANDS) as it was recorded; afterwards the level and the segments are known."""
        voice, found = VoiceActivity(), array("f")
        energy, done = torch.zeros(self._frames), 0
        held = [np.zeros(0, np.float32)]

        def detect() -> None:
            found.extend(voice.update(np.concatenate(held)).tolist())
            held.clear()

        def tapped() -> Iterator[NDArray[np.float32]]:
            for chunk in without_offset(self._speech()):
                held.append(chunk)
                # The network takes a third of the time for many windows at once.
                if len(held) >= TOGETHER:
                    detect()
                yield chunk

        for mel in stream_log_mel(tapped(), self._frames):
            energy[done : done + len(mel)] = mel.logsumexp(dim=-1)
            done += len(mel)
            yield mel
        if held:
            detect()
        found.extend(voice.finish().tolist())
        probabilities = torch.tensor(found)
        spoken = segments(probabilities, energy) if int((probabilities >= BEGINS).sum()) >= FEWEST else []
        self._voice = gate(spoken, self._frames) if spoken else torch.ones(self._frames)
        self._level = levels(energy, spoken)

    def normalised(self) -> Iterator[Tensor]:
        """Yield normalised log-mel (L, BANDS), about -1 to 1; -1 where nobody speaks. `measure` must have ended."""
        noise, done = NoiseFloor(), 0
        for mel in stream_log_mel(without_offset(self._speech()), self._frames):
            span = slice(done, done + len(mel))
            voice = self._voice[span]
            level = self._level[span]
            clean = quieten(noise.subtract(mel, voice, level), voice, level)
            yield normalise(clean, level[:, None])
            done += len(mel)
