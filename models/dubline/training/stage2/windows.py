"""Samples windows of motion with the speech around them, at the speed of each recording: the batches of stage 2."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.log_mel import normalise
from dubline.training.cli_errors import UsageError
from dubline.training.stage2.encoded_clips import APPEARANCE_STEP, EncodedClip, Recording
from dubline.training.stage2.mel_augmentation import augment_log_mel
from dubline.training.stage2.mixture import clip_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.models.presets import DiffusionParams
    from dubline.models.stage2.diffusion import Diffusion

#: There are few identities: without noise and dropout the denoiser overfits to the persons.
PERSON_NOISE: Final = 0.3
PERSON_DROPOUT: Final = 0.3
PAST_DROPOUT: Final = 0.3
PAST_NOISE: Final = 0.3
#: Share of windows at the start of a recording, without previous frames.
START_SHARE: Final = 0.3
#: Share of windows with the clip's own recording, if there are augmented ones.
OWN_SHARE: Final = 0.4
#: Length of the style extractor's input in training: an excerpt of longer recordings, a repetition of shorter ones.
STYLE_FRAMES: Final = 100


class PreviousWindow(NamedTuple):
    """The window before, for the first R windows of a batch."""

    slices: Tensor
    """(R, L, BANDS), its speech."""
    ahead: Tensor
    """(R,), by how many frames it is earlier."""
    last: Tensor
    """(R, K), true motion of the frame before the batch's window, without noise."""


class Batch(NamedTuple):
    """Clean whitened motion, its condition before the extractors, and the latents of the sources."""

    clean: Tensor
    """(B, T, K)."""
    slices: Tensor
    """(B, 4 (margin + previous + T + margin), BANDS), log-mel around the windows."""
    excerpts: Tensor
    """(B, 4 STYLE_FRAMES, BANDS), input of the style extractor."""
    appearance: Tensor
    """(B, A)."""
    source: Tensor
    """(B, M)."""
    previous: Tensor
    """(B, P, K)."""
    known: Tensor
    """(B, 1), 1 where previous frames are given."""
    earlier: PreviousWindow | None = None

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device."""
        columns = [column.to(device, non_blocking=True) for column in self[:7]]
        earlier = self.earlier and PreviousWindow(*(column.to(device, non_blocking=True) for column in self.earlier))
        return Batch._make([*columns, earlier])


class WindowSampler:
    """Samples windows of motion with everything that conditions them.

    Args:
        clips: encoded; clips shorter than a window are left out.
        diffusion: its whitening and statistics.
        seed: of all random numbers.
        recorded: share of windows from clips without labels; None draws all clips with equal probability.

    Raises:
        UsageError: all clips are too short, or a share is given and all clips are of one kind.
    """

    def __init__(
        self, clips: list[EncodedClip], diffusion: Diffusion, seed: int, recorded: float | None = None
    ) -> None:
        # A copy, because windows are drawn on the CPU while the network trains on another device.
        self.diffusion, self.params = copy.deepcopy(diffusion).cpu(), diffusion.params
        self.clips = [clip for clip in clips if fits(clip.recordings[0], self.params)]
        if not self.clips:
            raise UsageError(f"no clip has {least_frames(self.params)} frames with speech")
        self.probabilities = None if recorded is None else clip_probabilities(self.clips, recorded)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start another random sequence."""
        self.random = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def stream(self, batch: int, earlier: int, workers: int = 0) -> Iterator[Batch]:
        """Yield batches without end, on the CPU, drawn in advance by `workers` processes.

        A window takes 1 ms: little compared with a training step on a CPU, too long for a GPU to wait.
        """
        seed = int(self.random.integers(2**31))
        return iter(DataLoader(_Stream(self, batch, earlier, seed), batch_size=None, num_workers=workers))

    def draw(self, batch: int, earlier: int = 0) -> Batch:
        """Draw a batch of windows.

        Args:
            batch: number of windows.
            earlier: the first so many windows come with the speech of the window before.
        """
        chosen = self.random.choice(len(self.clips), size=batch, p=self.probabilities)
        rows = [self._window(self.clips[i], later=n < earlier) for n, i in enumerate(chosen)]
        columns = [torch.stack(column) for column in zip(*(row[:7] for row in rows), strict=True)]
        before = [torch.stack(column) for column in zip(*(row[7:] for row in rows[:earlier]), strict=True)]
        return Batch._make([*columns, PreviousWindow(*before) if earlier else None])

    def _window(self, clip: EncodedClip, *, later: bool) -> list[Tensor]:
        params, random = self.params, self.random
        recording = self._recording(clip)
        source = int(random.integers(len(clip.latents)))
        last = len(recording.mel) // MEL_PER_FRAME - params.window
        starts = not later and random.random() < START_SHARE
        start = 0 if starts else int(random.integers(params.previous, last + 1))
        motion = self.motion(clip, source, recording.speed, start - params.previous, start + params.window)
        past, clean = motion[: params.previous], motion[params.previous :]
        known = float(start > 0 and (later or random.random() > PAST_DROPOUT))
        previous = known * (past + PAST_NOISE * random.random() * torch.randn_like(past))
        keep = float(random.random() > PERSON_DROPOUT)
        noisy = [keep * (part + PERSON_NOISE * torch.randn_like(part)) for part in self.source_codes(clip, source)]
        mel = augment_log_mel(recording.mel.float(), random)
        normal = normalise(mel, recording.level)
        row = [
            clean,
            speech_around(normal, start, params),
            style_excerpt(mel, int(random.integers(len(mel)))),
            noisy[1],
            noisy[0],
            previous,
            torch.tensor([known]),
        ]
        if later:
            before = max(0, start - params.window)
            row += [speech_around(normal, before, params), torch.tensor(start - before), past[-1]]
        return row

    def _recording(self, clip: EncodedClip) -> Recording:
        variants = [recording for recording in clip.recordings[1:] if fits(recording, self.params)]
        if not variants or self.random.random() < OWN_SHARE:
            return clip.recordings[0]
        return variants[int(self.random.integers(len(variants)))]

    def motion(self, clip: EncodedClip, source: int, speed: float, begin: int, end: int) -> Tensor:
        """Return whitened motion of frames begin to end; frames before the recording equal its first: (T, K)."""
        latents = clip.latents.float()
        whitened: Tensor = self.diffusion.whitening(at_speed(latents, speed, begin, end), latents[source])
        return whitened

    def source_codes(self, clip: EncodedClip, source: int) -> tuple[Tensor, Tensor]:
        """Return the standardised latent (M,) and appearance code (A,) of a clip's frame."""
        return self.diffusion.standardise(
            clip.latents[source].float(), clip.appearance[source // APPEARANCE_STEP].float()
        )


class _Stream(IterableDataset[Batch]):
    """Repeats `WindowSampler.draw`; each worker has its own seed."""

    def __init__(self, windows: WindowSampler, batch: int, earlier: int, seed: int) -> None:
        self.windows, self.batch, self.earlier, self.first = windows, batch, earlier, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        self.windows.seed(self.first + (worker.id if worker else 0))
        while True:
            yield self.windows.draw(self.batch, earlier=self.earlier)


def at_speed(values: Tensor, speed: float, begin: int, end: int) -> Tensor:
    """Return values (T, K) of a clip at the frames, begin to end, of a recording with another speed.

    Frames outside the clip have those of its first or its last frame.
    """
    last = len(values) - 1
    position = (torch.arange(begin, end) * speed).clamp(0, last)
    low = position.floor().long()
    return torch.lerp(values[low], values[(low + 1).clamp(max=last)], (position - low)[:, None])


def least_frames(params: DiffusionParams) -> int:
    """Return the length of the shortest clip from which a window can be drawn."""
    return params.window + params.previous


def fits(recording: Recording, params: DiffusionParams) -> bool:
    """Return whether a recording is long enough for a window and its previous frames."""
    return len(recording.mel) // MEL_PER_FRAME >= least_frames(params)


def speech_around(mel: Tensor, start: int, params: DiffusionParams) -> Tensor:
    """Return the normalised log-mel around the window that starts at a frame, with silence outside the recording."""
    first = (start - params.previous - params.margin) * MEL_PER_FRAME
    last = (start + params.window + params.margin) * MEL_PER_FRAME
    padded = F.pad(mel, (0, 0, max(0, -first), max(0, last - len(mel))), value=-1.0)
    return padded[max(0, first) :][: last - first]


def style_excerpt(mel: Tensor, begin: int) -> Tensor:
    """Return the input of the style extractor from a mel frame on, repeating the recording: (4 STYLE_FRAMES, BANDS)."""
    return mel[(begin + torch.arange(STYLE_FRAMES * MEL_PER_FRAME)) % len(mel)]
