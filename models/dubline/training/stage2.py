"""Trains stage 2 on the latents of a trained stage 1: `python -m dubline.training.stage2 CLIPS --minutes 25`.

Every clip is encoded once; then windows of its motion are drawn with the speech around them.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from dubline.models import schedule
from dubline.models.audio_encoder import MEL_PER_FRAME
from dubline.models.autoencoder import Autoencoder
from dubline.models.denoiser import Condition
from dubline.models.diffusion import Diffusion
from dubline.models.log_mel import Loudness, normalise, stream_log_mel
from dubline.models.presets import PRESETS, Preset
from dubline.training.corpus import LIPS, Clip, read_corpus
from dubline.training.session import Session, training_device
from dubline.training.stage1 import to_frames
from dubline.training.voice import vary

BATCH = 32
LEARNING_RATE = 6e-4
# Few identities: without noise and dropout the denoiser learns each person's clip by heart.
PERSON_NOISE, PERSON_DROPOUT, SPEECH_DROPOUT, PAST_DROPOUT, PAST_NOISE = 0.3, 0.3, 0.1, 0.3, 0.3
# The share of windows that begin a recording, with nothing before them.
STARTS = 0.3


class Encoded(NamedTuple):
    """One clip for stage 2: latents (T, M), appearance (T, A), log-mel (4 T, BANDS) and its loudness."""

    latents: Tensor
    appearance: Tensor
    mel: Tensor
    level: float


class Batch(NamedTuple):
    """Clean whitened motion (B, T, K), its condition before the extractors, and the sources' latents (B, M)."""

    clean: Tensor
    slices: Tensor
    recordings: Tensor
    appearance: Tensor
    source: Tensor
    previous: Tensor
    known: Tensor


@torch.no_grad()
def encode(clip: Clip, autoencoder: Autoencoder) -> Encoded:
    """Run stage 1's encoders and the speech front end over one clip."""
    device = next(autoencoder.parameters()).device
    frames = to_frames(clip.frames, device)
    mel = torch.cat(list(stream_log_mel([clip.speech], len(frames) * MEL_PER_FRAME)))
    loudness = Loudness()
    loudness.hear(mel)
    latents = torch.cat([autoencoder.encode_motion(part) for part in frames.split(25)])
    appearance = torch.cat([autoencoder.appearance_extractor(part) for part in frames[::5].split(25)])
    appearance = appearance.repeat_interleave(5, 0)[: len(latents)]
    return Encoded(latents.cpu(), appearance.cpu(), mel, loudness.level)


def fit_statistics(diffusion: Diffusion, clips: list[Encoded]) -> None:
    """Set the whitening and the source statistics from training clips."""
    relative = [clip.latents - clip.latents[i] for clip in clips for i in range(0, len(clip.latents), 20)]
    diffusion.whitening.fit(torch.cat(relative))
    person = torch.cat([torch.cat([clip.latents, clip.appearance], -1) for clip in clips])
    diffusion.source_mean.copy_(person.mean(0))
    diffusion.source_std.copy_(person.std(0) + 1e-4)


class Windows:
    """Draws windows of motion with everything that conditions them."""

    def __init__(self, clips: list[Encoded], diffusion: Diffusion, seed: int) -> None:
        # A copy: windows are cut on the CPU while the network trains elsewhere.
        self.clips, self.diffusion, self.params = clips, copy.deepcopy(diffusion).cpu(), diffusion.params
        self.random = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def draw(self, batch: int, device: torch.device) -> Batch:
        """A batch of windows."""
        rows = [self._window(self.clips[i]) for i in self.random.integers(len(self.clips), size=batch)]
        return Batch(*(torch.stack(column).to(device) for column in zip(*rows, strict=True)))

    def _window(self, clip: Encoded) -> tuple[Tensor, ...]:
        params, random = self.params, self.random
        source = int(random.integers(len(clip.latents)))
        motion = self.diffusion.whitening(clip.latents, clip.latents[source])
        last = len(motion) - params.window
        start = 0 if random.random() < STARTS else int(random.integers(params.previous, last + 1))
        past = motion[max(0, start - params.previous) : start]
        known = float(start > 0 and random.random() > PAST_DROPOUT)
        previous = past + PAST_NOISE * random.random() * torch.randn_like(past) if known else torch.zeros(1)
        person = self.diffusion.standardise(clip.latents[source], clip.appearance[source])
        keep = float(random.random() > PERSON_DROPOUT)
        noisy = [keep * (part + PERSON_NOISE * torch.randn_like(part)) for part in person]
        mel = vary(clip.mel, random)
        clean = motion[start : start + params.window]
        return (
            clean,
            self._slice(normalise(mel, clip.level), start),
            mel,
            noisy[1],
            noisy[0],
            previous.expand(params.previous, motion.shape[-1]),
            torch.tensor([known]),
        )

    def _slice(self, mel: Tensor, start: int) -> Tensor:
        """The normalised log-mel around a window, silence beyond the recording's ends."""
        params = self.params
        first = (start - params.previous - params.margin) * MEL_PER_FRAME
        last = (start + params.window + params.margin) * MEL_PER_FRAME
        padded = F.pad(mel, (0, 0, max(0, -first), max(0, last - len(mel))), value=-1.0)
        return padded[max(0, first) :][: last - first]


def loss_of(diffusion: Diffusion, lips: Tensor, batch: Batch) -> Tensor:
    """Flow matching on the window, velocity and acceleration of the clean estimate, and the lips' readings."""
    heard = diffusion.style_extractor.hear(batch.recordings, diffusion.style_extractor.start(len(batch.clean)))
    device = batch.clean.device
    listen = (torch.rand(len(batch.clean), 1, device=device) > SPEECH_DROPOUT).float()
    condition = Condition(
        diffusion.articulation_extractor(batch.slices) * listen[..., None],
        diffusion.style_extractor(heard) * listen,
        batch.appearance,
        batch.source,
        batch.previous,
        batch.known,
    )
    noise, time = torch.randn_like(batch.clean), torch.rand(len(batch.clean), device=device).sqrt() * 0.98
    times = time[:, None, None]
    noisy = schedule.interpolate(batch.clean, noise, times)
    predicted = diffusion.denoiser(noisy, time, condition)
    weight = diffusion.whitening.scale.sqrt()
    weight = weight / weight.mean()
    loss = (weight * (predicted - schedule.velocity(batch.clean, noise)).square()).mean()
    off = schedule.clean_estimate(noisy, predicted, times) - batch.clean
    for order in (1, 2):
        loss = loss + (weight * off.diff(n=order, dim=1).square()).mean()
    reading = off @ lips
    total: Tensor = loss + 0.5 * (reading.square().mean() + reading.diff(dim=1).square().mean())
    return total


def lips_of(diffusion: Diffusion, geometry_head: nn.Linear) -> Tensor:
    """What stage 1's geometry head reads as lips from whitened motion: (K, 2)."""
    whitening = diffusion.whitening
    readings: Tensor = (whitening.scale[:, None] * whitening.basis.T) @ geometry_head.weight[LIPS].T
    return readings.detach()


def train(  # noqa: PLR0913 - each is a choice of the caller
    clips: list[Clip], preset: Preset, out: Path, *, minutes: float, resume: bool, batch: int = BATCH
) -> Path:
    """Train for a number of minutes on `out/stage1.pt`; state goes to `out/stage2.pt`."""
    device = training_device()
    autoencoder, head = load_stage1(preset, out)
    autoencoder.to(device)
    diffusion = Diffusion(preset)
    spoken = [clip for clip in clips if clip.kind != "expression"]
    encoded = [encode(clip, autoencoder) for clip in track(spoken, "encoding clips")]
    fit_statistics(diffusion, encoded)
    lips = lips_of(diffusion, head).to(device)
    diffusion.to(device)
    session = Session(diffusion, out / "stage2.pt", minutes=minutes, learning_rate=LEARNING_RATE, resume=resume)
    windows = Windows(encoded, diffusion, seed=session.steps)
    while not session.over:
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(diffusion, lips, windows.draw(batch, device))
        session.step(loss)
    session.save()
    return session.path


def load_stage1(preset: Preset, out: Path) -> tuple[Autoencoder, nn.Linear]:
    """The averaged autoencoder of `out/stage1.pt` and its geometry head.

    Raises:
        FileNotFoundError: stage 1 has not been trained there.
    """
    state = torch.load(out / "stage1.pt", map_location="cpu", weights_only=True)["average"]
    autoencoder = Autoencoder(preset.autoencoder)
    prefix = "autoencoder."
    autoencoder.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    weight, bias = state["geometry_head.weight"], state["geometry_head.bias"]
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return autoencoder.eval().requires_grad_(requires_grad=False), head


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, help="folder of NAME.mp4 + NAME.npz")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--out", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--batch", type=int, default=BATCH, help="windows per step")
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    args = parser.parse_args()
    preset = PRESETS[args.preset]
    clips = read_corpus(args.clips, preset.size_px, heldout=False)
    train(clips, preset, args.out, minutes=args.minutes, resume=args.resume, batch=args.batch)


if __name__ == "__main__":
    main()
