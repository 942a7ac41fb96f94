"""Samples windows of clips' speech with the lip gap, at the speed of each recording, for the extractor alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.log_mel import normalise
from dubline.training.cli_errors import UsageError
from dubline.training.stage2.mel_augmentation import augment_log_mel
from dubline.training.stage2.windows import at_speed, fits, least_frames, speech_around

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dubline.models.presets import DiffusionParams
    from dubline.training.stage2.encoded_clips import Recording


class SpeakingLips(NamedTuple):
    """Recordings of a clip's speech and the lip gap (T,) in cm."""

    recordings: tuple[Recording, ...]
    gap: Tensor


class GapSampler:
    """Samples windows of one kind of clips.

    Args:
        clips: recordings shorter than a window are left out.
        weights: (N,), of each clip.
        params: determine the length of a window.

    Raises:
        UsageError: all recordings are too short.
    """

    def __init__(self, clips: Sequence[SpeakingLips], weights: NDArray[np.float64], params: DiffusionParams) -> None:
        long = [clip._replace(recordings=tuple(r for r in clip.recordings if fits(r, params))) for clip in clips]
        kept = [(clip, weight) for clip, weight in zip(long, weights, strict=True) if clip.recordings]
        if not kept:
            raise UsageError(f"no clip of one of the kinds has {least_frames(params)} frames with speech")
        self.clips, self.params = [clip for clip, _ in kept], params
        self.probabilities = np.array([weight for _, weight in kept]) / sum(weight for _, weight in kept)
        self.seed(0)

    def seed(self, *numbers: int) -> None:
        """Start another random sequence."""
        self.random = np.random.default_rng(numbers)

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Draw a batch of windows with augmented voices: log-mel around them (B, L, BANDS) and gap (B, T) in cm."""
        chosen = self.random.choice(len(self.clips), size=batch, p=self.probabilities)
        slices, gaps = zip(*(self._window(self.clips[i]) for i in chosen), strict=True)
        return torch.stack(slices), torch.stack(gaps)

    def _window(self, clip: SpeakingLips) -> tuple[Tensor, Tensor]:
        params, random = self.params, self.random
        recording = clip.recordings[int(random.integers(len(clip.recordings)))]
        start = int(random.integers(len(recording.mel) // MEL_PER_FRAME - params.window + 1))
        gap = at_speed(clip.gap[:, None], recording.speed, start, start + params.window)[:, 0]
        mel = normalise(augment_log_mel(recording.mel.float(), random), recording.level)
        return speech_around(mel, start, params), gap
