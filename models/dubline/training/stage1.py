"""Trains stage 1 on a corpus: `python -m dubline.training.stage1 CLIPS --minutes 40`.

Two frames of one clip are drawn; the second is rendered from the first and its own motion latent.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from dubline.models.autoencoder import Autoencoder, Rendering
from dubline.models.presets import PRESETS, Preset
from dubline.training import augment
from dubline.training.corpus import LIPS, Clip, read_corpus
from dubline.training.losses import face_weight, landmark_loss, painting_loss, picture_loss, threshold_loss
from dubline.training.session import Session, training_device
from dubline.training.sheet import save_sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

CPU = torch.device("cpu")
BATCH = 12
LEARNING_RATE = 5e-4


class Pair(NamedTuple):
    """A training batch: source, driving (B, 3, S, S); their landmarks (B, 68, 2); the driving geometry (B, G)."""

    source: Tensor
    driving: Tensor
    source_landmarks: Tensor
    driving_landmarks: Tensor
    geometry: Tensor


class Student(nn.Module):
    """The autoencoder and a linear teacher's head that must be able to read the rig off the motion latent."""

    def __init__(self, preset: Preset, geometry: int) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(preset.autoencoder)
        self.geometry_head = nn.Linear(preset.autoencoder.motion, geometry)


class Pairs:
    """Draws random frame pairs; every clip equally often."""

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips
        self.seed(0)
        geometry = np.concatenate([clip.geometry for clip in clips])
        self.mean, self.std = geometry.mean(0), geometry.std(0) + 0.05

    def seed(self, seed: int) -> None:
        """Start a new random sequence; a resumed run must not see its first pairs again."""
        self.random = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, batch: int, device: torch.device) -> Pair:
        """A batch of augmented pairs."""
        chosen = [self.clips[i] for i in self.random.integers(len(self.clips), size=batch)]
        times = [self.random.integers(len(clip.frames), size=2) for clip in chosen]
        cameras = augment.random_cameras(batch, self.generator).to(device)
        colours = augment.random_colours(batch, self.generator).to(device)

        def frames(which: int) -> Tensor:
            stack = np.stack([clip.frames[t[which]] for clip, t in zip(chosen, times, strict=True)])
            return augment.recolour(augment.view(to_frames(stack, device), cameras), colours)

        def landmarks(which: int) -> Tensor:
            stack = np.stack([clip.landmarks[t[which]] for clip, t in zip(chosen, times, strict=True)])
            return augment.project(torch.from_numpy(stack).to(device), cameras)

        geometry = np.stack([clip.geometry[t[1]] for clip, t in zip(chosen, times, strict=True)])
        standard = torch.from_numpy((geometry - self.mean) / self.std).to(device)
        return Pair(frames(0), frames(1), landmarks(0), landmarks(1), standard)


def to_frames(pixels: NDArray[np.uint8], device: torch.device = CPU) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float in [-1, 1]."""
    return rearrange(torch.from_numpy(pixels).to(device), "b h w c -> b c h w").float() / 127.5 - 1


def train(  # noqa: PLR0913 - each is a choice of the caller
    clips: list[Clip],
    preset: Preset,
    out: Path,
    *,
    minutes: float,
    resume: bool,
    batch: int = BATCH,
    keep_motion: bool = False,
) -> Path:
    """Train for a number of minutes; state and sample sheets go to `out`. Returns the state's path.

    With `keep_motion` training goes on from the averages and leaves alone what stage 2 was trained on: motion
    latents and appearance codes.
    """
    torch.manual_seed(0)
    pairs = Pairs(clips)
    device = training_device()
    student = Student(preset, pairs.mean.size).to(device)
    for module in student.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(student, out / "stage1.pt", minutes=minutes, learning_rate=LEARNING_RATE, resume=resume)
    if keep_motion:
        student.load_state_dict(session.average.network.state_dict())
        student.autoencoder.motion_encoder.requires_grad_(requires_grad=False)
        student.autoencoder.appearance_extractor.requires_grad_(requires_grad=False)
    pairs.seed(session.steps)
    while not session.over:
        pair = pairs.draw(batch, device)
        loss, rendering = _loss(student, pair, pairs.generator)
        mse = (rendering.frame - pair.driving).detach().square().mean().item() / 4
        session.step(loss, psnr=-10 * float(np.log10(mse + 1e-9)))
        if session.steps % 1000 == 1:
            save_sheet(out / "stage1.png", pair.source, pair.driving, rendering.warped, rendering.frame)
    session.save()
    return session.path


def _loss(student: Student, pair: Pair, generator: torch.Generator) -> tuple[Tensor, Rendering]:
    network = student.autoencoder
    # Other colours for the motion encoder: it must not carry light and skin.
    device = pair.driving.device
    colours = augment.random_colours(len(pair.driving), generator).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        source = network.encode_source(pair.source.contiguous(memory_format=torch.channels_last))
        driving = augment.recolour(pair.driving, colours).contiguous(memory_format=torch.channels_last)
        motion = network.encode_motion(driving)
        rendering: Rendering = network(source, motion)
        geometry = student.geometry_head(motion)
    weight = face_weight(pair.driving_landmarks, pair.driving.shape[-1])
    picture, warped = rendering.frame.float(), rendering.warped.float()
    loss = picture_loss(picture, pair.driving, weight)
    loss = loss + 0.8 * picture_loss(warped, pair.driving, weight)
    loss = loss + 0.5 * threshold_loss(picture, pair.driving)
    loss = loss + 4 * landmark_loss(rendering.deformation.mixed, pair.source_landmarks, pair.driving_landmarks)
    misread = (geometry.float() - pair.geometry).square()
    # Lips are two readings of many and a few pixels of the picture, and the reason for all of it.
    loss = loss + 0.1 * misread.mean() + 0.2 * misread[:, LIPS].mean()
    painted = painting_loss(rendering.paint.occlusion.float(), warped.detach(), pair.driving, pair.driving_landmarks)
    loss = loss + 2 * painted
    return loss, Rendering(picture, warped, rendering.paint, rendering.deformation)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, help="folder of NAME.mp4 + NAME.npz")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--out", type=Path, default=Path("runs/tiny"))
    parser.add_argument("--batch", type=int, default=BATCH, help="frame pairs per step")
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    parser.add_argument("--keep-motion", action="store_true", help="train the renderer only; stage 2 stays valid")
    args = parser.parse_args()
    preset = PRESETS[args.preset]
    clips = read_corpus(args.clips, preset.size_px, heldout=False)
    train(
        clips,
        preset,
        args.out,
        minutes=args.minutes,
        resume=args.resume,
        batch=args.batch,
        keep_motion=args.keep_motion,
    )


if __name__ == "__main__":
    main()
