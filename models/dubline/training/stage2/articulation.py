"""Articulation supervision: speech with known mouth motion but without frames; for training only.

A rig that speaks costs far less than rendered video. A folder of NAME.flac (or any other sound file) beside NAME.npz
with `expression` (T, E), `lip_shut` and `aperture_mm` (T,), each at 25 fps, supervises the articulation extractor with
many more voices and sentences than there are clips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from dubline.models.stage2.log_mel import normalise
from dubline.training.corpus import UNREADABLE, leave_out, read_speech
from dubline.training.stage2.auxiliary_head import AuxiliaryHead
from dubline.training.stage2.encoded_clips import Recording, to_recording
from dubline.training.stage2.mel_augmentation import augment_log_mel
from dubline.training.stage2.waveform_augmentation import AugmentedSpeech
from dubline.training.stage2.windows import fits, speech_around

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dubline.models.presets import DiffusionParams
    from dubline.models.stage2.audio_encoder import LocalExtractor
    from dubline.training.stage2.spoken_gap_head import SpokenGapHead

#: The last two values are the lips (closed, gap), which have the largest weight.
LIPS: Final = slice(-2, None)
LIP_WEIGHT: Final = 5.0


class LabelledSpeech(NamedTuple):
    """A recording with the mouth motion (T, G)."""

    recording: Recording
    mouth: Tensor


class ArticulationBatch(NamedTuple):
    """A batch of B windows."""

    slices: Tensor
    """(B, L, BANDS), speech around the windows."""
    mouth: Tensor
    """(B, T, G), standardised mouth motion."""
    recorded: Tensor
    """(B, T), 1 for frames inside the recording."""


class ArticulationSampler:
    """Samples windows of labelled speech, each recording with equal probability.

    Args:
        recordings: those shorter than a window are left out.
        params: determine the length of a window.

    Raises:
        FileNotFoundError: there is no recording that is long enough.
    """

    def __init__(self, recordings: Sequence[LabelledSpeech], params: DiffusionParams) -> None:
        self.recordings = [each for each in recordings if fits(each.recording, params)]
        if not self.recordings:
            raise FileNotFoundError("there is no labelled speech that is long enough")
        self.params = params
        everything = torch.cat([each.mouth for each in self.recordings]).float()
        self.mean, self.std = everything.mean(0), everything.std(0) + 0.02
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start another random sequence."""
        self.random = np.random.default_rng([seed, 2])

    def draw(self, batch: int) -> ArticulationBatch:
        """Draw a batch of windows with augmented voices."""
        rows = [self._window(self.recordings[i]) for i in self.random.integers(len(self.recordings), size=batch)]
        return ArticulationBatch(*(torch.stack(column) for column in zip(*rows, strict=True)))

    def gap(self, mouth: Tensor) -> Tensor:
        """Return the lip gap in cm (B, T) of windows' mouth motion (B, P + T, G); closed lips have none below 0."""
        own = mouth[:, self.params.previous :, -1]
        return (own * self.std[-1] + self.mean[-1]).clamp_min(0)

    def _window(self, speech: LabelledSpeech) -> tuple[Tensor, Tensor, Tensor]:
        params, recording = self.params, speech.recording
        count = len(speech.mouth)
        start = int(self.random.integers(count - params.window + 1))
        frames = torch.arange(start - params.previous, start + params.window)
        mel = normalise(augment_log_mel(recording.mel.float(), self.random), recording.level)
        mouth = (speech.mouth[frames.clamp(0, count - 1)].float() - self.mean) / self.std
        return speech_around(mel, start, params), mouth, (frames >= 0).float()


class ArticulationHead(AuxiliaryHead):
    """Predicts the mouth motion of a frame.

    Args:
        sampler: of labelled speech.
        width: of the extractor's output.
        device: of the batches.
    """

    def __init__(self, sampler: ArticulationSampler, width: int, device: torch.device) -> None:
        super().__init__(width, len(sampler.mean), device)
        self.sampler = sampler
        self.steps = 0

    def loss(self, extractor: LocalExtractor, batch: int, gap_head: SpokenGapHead | None = None) -> Tensor:
        """Compute the error of predicted mouth motion and speed on a batch; `step` follows its gradient.

        Args:
            extractor: is trained.
            batch: number of windows.
            gap_head: reads the lip gap of the articulation; its loss is added.
        """
        slices, mouth, recorded = (column.to(self.device) for column in self.sampler.draw(batch))
        articulation = extractor(slices)
        read = gap_head.loss(articulation, self.sampler.gap(mouth)) if gap_head else 0.0
        return self.error(articulation, mouth, recorded) + read

    def error(self, articulation: Tensor, mouth: Tensor, recorded: Tensor | None = None) -> Tensor:
        """Compute the error of predicted mouth motion and speed; the lips count most.

        Args:
            articulation: (B, T, W).
            mouth: (B, T, G), standardised.
            recorded: (B, T), 1 for frames inside the recording; default: all.
        """
        error = self.head(articulation).float() - mouth
        if recorded is not None:
            error = error * recorded[..., None]
        weight = torch.ones(error.shape[-1], device=self.device)
        weight[LIPS] = LIP_WEIGHT
        loss: Tensor = (weight * error.square()).mean() + (weight * error.diff(dim=1).square()).mean()
        return loss

    def step(self, learning_rate: float) -> None:
        """Update the head by its gradient."""
        super().step(learning_rate)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all state for resuming."""
        return {**super().state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict` and start another random sequence."""
        super().load_state_dict(state)
        self.steps = state["steps"]
        self.sampler.seed(self.steps)


def read_labelled_speech(folder: Path) -> list[LabelledSpeech]:
    """Read all labelled speech of a folder; unreadable files are left out.

    Raises:
        FileNotFoundError: there is no NAME.npz beside a sound file.
    """
    tracks = {path.stem: path for path in folder.glob("*.npz")}
    sounds = sorted(path for path in folder.iterdir() if path.suffix != ".npz" and path.stem in tracks)
    if not sounds:
        raise FileNotFoundError(f"{folder} has no sound beside a NAME.npz to learn articulation from")
    read = []
    for sound in track(sounds, "reading speech"):
        try:
            read.append(read_labelled_recording(sound, tracks[sound.stem]))
        except UNREADABLE as error:
            leave_out(sound, error)
    return read


def read_labelled_recording(sound: Path, tracks: Path) -> LabelledSpeech:
    """Read one recording and its mouth motion."""
    with np.load(tracks) as file:
        columns = [file["expression"], file["lip_shut"][:, None], file["aperture_mm"][:, None] / 10]
    mouth = torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float16))
    return LabelledSpeech(to_recording(AugmentedSpeech(read_speech(sound), 1.0), len(mouth)), mouth)
