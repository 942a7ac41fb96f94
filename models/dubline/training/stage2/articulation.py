"""Lessons in articulation: speech whose mouth is known, without a picture; for training only.

Rendered films are dear and few; a rig that speaks is cheap. From a folder of NAME.flac (or any other sound file) beside
NAME.npz with `expression` (T, E), `lip_shut` and `aperture_mm` (T,), each at 25 fps, the articulation extractor learns
what mouths do for many more voices and sentences than there are films of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from dubline.models.stage2.log_mel import normalise
from dubline.training.corpus import UNREADABLE, leave_out, read_speech
from dubline.training.stage2.encoded_clips import Recording, to_recording
from dubline.training.stage2.mel_augmentation import augment_log_mel
from dubline.training.stage2.waveform_augmentation import AugmentedSpeech
from dubline.training.stage2.windows import fits, speech_around

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dubline.models.presets import DiffusionParams
    from dubline.models.stage2.audio_encoder import LocalExtractor

LEARNING_RATE: Final = 1e-3
#: The last two readings are the lips: shut, and the gap. They are the reason for all of it.
LIPS: Final = slice(-2, None)
LIP_WEIGHT: Final = 5.0


class LabelledSpeech(NamedTuple):
    """A voice and what the mouth did meanwhile: (T, G)."""

    voice: Recording
    mouth: Tensor


class ArticulationBatch(NamedTuple):
    """A batch: speech around B windows (B, L, BANDS), the mouth in their frames (B, T, G), and which of them exist."""

    slices: Tensor
    mouth: Tensor
    recorded: Tensor


class ArticulationSampler:
    """Draws windows of recitations, every recitation equally often.

    Args:
        recitations: those that are shorter than a window are left out.
        params: say how long a window is.

    Raises:
        FileNotFoundError: there is none.
    """

    def __init__(self, recordings: Sequence[LabelledSpeech], params: DiffusionParams) -> None:
        self.recordings = [each for each in recordings if fits(each.voice, params)]
        if not self.recordings:
            raise FileNotFoundError("there is no speech to learn articulation from")
        self.params = params
        everything = torch.cat([each.mouth for each in self.recordings]).float()
        self.mean, self.std = everything.mean(0), everything.std(0) + 0.02
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start another random sequence."""
        self.random = np.random.default_rng([seed, 2])

    def draw(self, batch: int) -> ArticulationBatch:
        """A batch of windows, each by a varied voice."""
        rows = [self._window(self.recordings[i]) for i in self.random.integers(len(self.recordings), size=batch)]
        return ArticulationBatch(*(torch.stack(column) for column in zip(*rows, strict=True)))

    def _window(self, recording: LabelledSpeech) -> tuple[Tensor, Tensor, Tensor]:
        params, voice = self.params, recording.voice
        count = len(recording.mouth)
        start = int(self.random.integers(count - params.window + 1))
        frames = torch.arange(start - params.previous, start + params.window)
        mel = normalise(augment_log_mel(voice.mel.float(), self.random), voice.level)
        mouth = (recording.mouth[frames.clamp(0, count - 1)].float() - self.mean) / self.std
        return speech_around(mel, start, params), mouth, (frames >= 0).float()


class ArticulationHead:
    """Reads the mouth off the articulation of speech, by a linear head that learns beside the extractor.

    Args:
        articulation: to learn from.
        width: of the articulation.
        device: where batches are judged.
    """

    def __init__(self, articulation: ArticulationSampler, width: int, device: torch.device) -> None:
        self.articulation, self.device = articulation, device
        self.head = nn.Linear(width, len(articulation.mean)).to(device)
        self.optimiser = torch.optim.AdamW(self.head.parameters(), LEARNING_RATE)
        self.steps = 0

    def loss(self, extractor: LocalExtractor, batch: int) -> Tensor:
        """How wrongly the mouth and its speed are read off a batch of lessons; `step` follows its gradient."""
        self.optimiser.zero_grad(set_to_none=True)
        slices, mouth, recorded = (column.to(self.device) for column in self.articulation.draw(batch))
        off = (self.head(extractor(slices)).float() - mouth) * recorded[..., None]
        weight = torch.ones(off.shape[-1], device=self.device)
        weight[LIPS] = LIP_WEIGHT
        loss: Tensor = (weight * off.square()).mean() + (weight * off.diff(dim=1).square()).mean()
        return loss

    def step(self) -> None:
        """Improve the head by the gradient that came back."""
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """All that going on needs."""
        return {"head": self.head.state_dict(), "optimiser": self.optimiser.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`, with other lessons than at the beginning."""
        self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]
        self.articulation.seed(self.steps)


def read_labelled_speech(folder: Path) -> list[LabelledSpeech]:
    """Everything a folder holds; what can not be read is left out.

    Raises:
        FileNotFoundError: it holds no NAME.npz beside a sound file.
    """
    tracks = {path.stem: path for path in folder.glob("*.npz")}
    sounds = sorted(path for path in folder.iterdir() if path.suffix != ".npz" and path.stem in tracks)
    if not sounds:
        raise FileNotFoundError(f"{folder} holds no sound beside a NAME.npz to learn articulation from")
    read = []
    for sound in track(sounds, "reading speech"):
        try:
            read.append(read_labelled_recording(sound, tracks[sound.stem]))
        except UNREADABLE as error:
            leave_out(sound, error)
    return read


def read_labelled_recording(sound: Path, tracks: Path) -> LabelledSpeech:
    """One recording and its mouth."""
    with np.load(tracks) as file:
        columns = [file["expression"], file["lip_shut"][:, None], file["aperture_mm"][:, None] / 10]
    mouth = torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float16))
    return LabelledSpeech(to_recording(AugmentedSpeech(read_speech(sound), 1.0), len(mouth)), mouth)
