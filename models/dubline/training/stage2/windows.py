"""Draws windows of motion with the speech around them, at each voice's own pace: the batches of stage 2."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.models.presets import DiffusionParams
    from dubline.models.stage2.diffusion import Diffusion

#: Few identities: without noise and dropout the denoiser learns each person's clip by heart.
PERSON_NOISE: Final = 0.3
PERSON_DROPOUT: Final = 0.3
PAST_DROPOUT: Final = 0.3
PAST_NOISE: Final = 0.3
#: The share of windows that begin a recording, with nothing before them.
STARTS: Final = 0.3
#: The clip's own voice is drawn this often where there are variants.
OWN_VOICE: Final = 0.4
#: What the global extractor hears in training; longer recordings give an excerpt, shorter ones start again.
STYLE_FRAMES: Final = 100


class PreviousWindow(NamedTuple):
    """For the first R windows of a batch, the window before: its speech (R, L, BANDS), and by how many frames (R,)."""

    slices: Tensor
    ahead: Tensor


class Batch(NamedTuple):
    """Clean whitened motion (B, T, K), its condition before the extractors, and the sources' latents (B, M).

    slices: (B, 4 (margin + previous + T + margin), BANDS). recordings: (B, 4 HEARD_FRAMES, BANDS).
    appearance: (B, A). source: (B, M). previous: (B, P, K). known: (B, 1).
    """

    clean: Tensor
    slices: Tensor
    recordings: Tensor
    appearance: Tensor
    source: Tensor
    previous: Tensor
    known: Tensor
    earlier: PreviousWindow | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        columns = [column.to(device, non_blocking=True) for column in self[:7]]
        earlier = self.earlier and PreviousWindow(*(column.to(device, non_blocking=True) for column in self.earlier))
        return Batch._make([*columns, earlier])


class WindowSampler:
    """Draws windows of motion with everything that conditions them.

    Args:
        clips: encoded; those that are too short for a window are left out.
        diffusion: its whitening and statistics.
        seed: of all that is drawn.

    Raises:
        UsageError: no clip is long enough.
    """

    def __init__(self, clips: list[EncodedClip], diffusion: Diffusion, seed: int) -> None:
        # A copy: windows are cut on the CPU while the network trains elsewhere.
        self.diffusion, self.params = copy.deepcopy(diffusion).cpu(), diffusion.params
        self.clips = [clip for clip in clips if fits(clip.voices[0], self.params)]
        if not self.clips:
            raise UsageError(f"no clip has {least_frames(self.params)} frames with speech")
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start another random sequence."""
        self.random = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def stream(self, batch: int, earlier: int, workers: int = 0) -> Iterator[Batch]:
        """Batches without end, on the CPU; drawn by so many processes ahead of whoever takes them.

        A window takes 1 ms: next to nothing beside a CPU's training step, too long for a GPU to wait.
        """
        seed = int(self.random.integers(2**31))
        return iter(DataLoader(_Stream(self, batch, earlier, seed), batch_size=None, num_workers=workers))

    def draw(self, batch: int, earlier: int = 0) -> Batch:
        """A batch of windows.

        Args:
            batch: how many.
            earlier: for how many of them, the first ones, the speech of the window before is wanted as well.
        """
        chosen = self.random.integers(len(self.clips), size=batch)
        rows = [self._window(self.clips[i], later=n < earlier) for n, i in enumerate(chosen)]
        columns = [torch.stack(column) for column in zip(*(row[:7] for row in rows), strict=True)]
        before = [torch.stack(column) for column in zip(*(row[7:] for row in rows[:earlier]), strict=True)]
        return Batch._make([*columns, PreviousWindow(*before) if earlier else None])

    def _window(self, clip: EncodedClip, *, later: bool) -> list[Tensor]:
        params, random = self.params, self.random
        voice = self._voice(clip)
        source = int(random.integers(len(clip.latents)))
        last = len(voice.mel) // MEL_PER_FRAME - params.window
        starts = not later and random.random() < STARTS
        start = 0 if starts else int(random.integers(params.previous, last + 1))
        motion = self.motion(clip, source, voice.speed, start - params.previous, start + params.window)
        past, clean = motion[: params.previous], motion[params.previous :]
        known = float(start > 0 and (later or random.random() > PAST_DROPOUT))
        previous = known * (past + PAST_NOISE * random.random() * torch.randn_like(past))
        keep = float(random.random() > PERSON_DROPOUT)
        noisy = [keep * (part + PERSON_NOISE * torch.randn_like(part)) for part in self.person(clip, source)]
        mel = augment_log_mel(voice.mel.float(), random)
        normal = normalise(mel, voice.level)
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
            row += [speech_around(normal, before, params), torch.tensor(start - before)]
        return row

    def _voice(self, clip: EncodedClip) -> Recording:
        variants = [voice for voice in clip.voices[1:] if fits(voice, self.params)]
        if not variants or self.random.random() < OWN_VOICE:
            return clip.voices[0]
        return variants[int(self.random.integers(len(variants)))]

    def motion(self, clip: EncodedClip, source: int, speed: float, begin: int, end: int) -> Tensor:
        """Whitened motion of the voice's frames begin to end, those before the recording as its first: (T, K)."""
        position = (torch.arange(begin, end) * speed).clamp(0, len(clip.latents) - 1)
        low = position.floor().long()
        share = (position - low)[:, None]
        latents = clip.latents.float()
        between = torch.lerp(latents[low], latents[(low + 1).clamp(max=len(latents) - 1)], share)
        whitened: Tensor = self.diffusion.whitening(between, latents[source])
        return whitened

    def person(self, clip: EncodedClip, source: int) -> tuple[Tensor, Tensor]:
        """Standardised latent (M,) and appearance code (A,) of a clip's frame."""
        return self.diffusion.standardise(
            clip.latents[source].float(), clip.appearance[source // APPEARANCE_STEP].float()
        )


class _Stream(IterableDataset[Batch]):
    """`Windows.draw` again and again; each worker from a seed of its own."""

    def __init__(self, windows: WindowSampler, batch: int, earlier: int, seed: int) -> None:
        self.windows, self.batch, self.earlier, self.first = windows, batch, earlier, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        self.windows.seed(self.first + (worker.id if worker else 0))
        while True:
            yield self.windows.draw(self.batch, earlier=self.earlier)


def least_frames(params: DiffusionParams) -> int:
    """The length of the shortest clip from which a window can be drawn."""
    return params.window + params.previous


def fits(voice: Recording, params: DiffusionParams) -> bool:
    """Whether a recording is long enough for a window and what precedes it."""
    return len(voice.mel) // MEL_PER_FRAME >= least_frames(params)


def speech_around(mel: Tensor, start: int, params: DiffusionParams) -> Tensor:
    """The normalised log-mel around the window that starts at a frame, silence beyond the recording's ends."""
    first = (start - params.previous - params.margin) * MEL_PER_FRAME
    last = (start + params.window + params.margin) * MEL_PER_FRAME
    padded = F.pad(mel, (0, 0, max(0, -first), max(0, last - len(mel))), value=-1.0)
    return padded[max(0, first) :][: last - first]


def style_excerpt(mel: Tensor, begin: int) -> Tensor:
    """What the global extractor hears of a recording from a mel frame on, round and round: (4 HEARD_FRAMES, BANDS)."""
    return mel[(begin + torch.arange(STYLE_FRAMES * MEL_PER_FRAME)) % len(mel)]
