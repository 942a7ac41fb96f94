"""Training of the reading of the lip gap on faces of several kinds, which count alike whatever their number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor

from dubline.models.motion.source_gap import COLUMNS, ROWS, SourceGap

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Pixels around what the network reads, so that samples can be shifted, rotated and scaled.
MARGIN_PX: Final = 8
STEPS: Final = 6000
#: Samples per step of each kind.
SAMPLES: Final = 24
LEARNING_RATE: Final = 2e-3
WEIGHT_DECAY: Final = 0.05
WARM_UP_STEPS: Final = 50
#: Errors above this, in cm, count linearly: the landmark process errs by much on a few pictures.
LARGE_ERROR_CM: Final = 0.1
#: Standard deviations of log scale, rotation in rad, shift in half sides, log gamma and noise.
SCALE: Final = 0.12
ROTATION: Final = 0.1
SHIFT: Final = 0.1
GAMMA: Final = 0.35
NOISE: Final = 0.03
#: Range of each channel's gain, share of samples without colour, and of batches that are blurred.
GAIN: Final = (0.85, 1.15)
GREY_SHARE: Final = 0.2
BLUR_SHARE: Final = 0.4


class Faces(NamedTuple):
    """Faces of one kind."""

    pictures: Tensor
    """(N, 3, h, w) uint8, of `mouth_region`."""
    gaps: Tensor
    """(N,) in cm."""


def mouth_region(frames: Tensor) -> Tensor:
    """Cut what the network reads, with a margin, out of frames (N, 3, SIDE_PX, SIDE_PX)."""
    rows, columns = (slice(part.start - MARGIN_PX, part.stop + MARGIN_PX) for part in (ROWS, COLUMNS))
    return frames[..., rows, columns]


def train(kinds: Sequence[Faces], steps: int = STEPS) -> SourceGap:
    """Train a network.

    Args:
        kinds: of faces, all of which are drawn equally often.
        steps: number of steps.
    """
    torch.manual_seed(0)
    network = SourceGap().train()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in track(range(steps), "training"):
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * warm * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        pictures, gaps = (torch.cat(column) for column in zip(*map(_drawn, kinds), strict=True))
        loss = F.smooth_l1_loss(network.read(augmented(pictures)), gaps, beta=LARGE_ERROR_CM)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval().requires_grad_(requires_grad=False)


def _drawn(kind: Faces) -> tuple[Tensor, Tensor]:
    numbers = torch.randint(len(kind.gaps), (SAMPLES,))
    return kind.pictures[numbers].float() / 255, kind.gaps[numbers]


def augmented(pictures: Tensor) -> Tensor:
    """Place, light and disturb pictures (B, 3, h, w) in [0, 1] of `mouth_region`: (B, 3, 56, 56)."""
    values = F.avg_pool2d(_placed(pictures), 2)
    count = len(values)
    values = values.clamp(0, 1) ** (GAMMA * torch.randn(count, 1, 1, 1)).exp()
    values = values * (GAIN[0] + (GAIN[1] - GAIN[0]) * torch.rand(count, 3, 1, 1))
    grey = (torch.rand(count, 1, 1, 1) < GREY_SHARE).float()
    values = torch.lerp(values, values.mean(1, keepdim=True), grey)
    if torch.rand(()) < BLUR_SHARE:
        values = F.avg_pool2d(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3, 1)
    noisy: Tensor = values + NOISE * torch.rand(count, 1, 1, 1) * torch.randn_like(values)
    return noisy


def _placed(pictures: Tensor) -> Tensor:
    """Scale, rotate, shift and mirror pictures, without their margin."""
    count, side = len(pictures), ROWS.stop - ROWS.start
    scale, angle = (SCALE * torch.randn(count)).exp(), ROTATION * torch.randn(count)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)  # noqa: PLR2004 - even odds
    rows = (
        torch.stack([mirror * scale * angle.cos(), -scale * angle.sin(), SHIFT * torch.randn(count)], 1),
        torch.stack([mirror * scale * angle.sin(), scale * angle.cos(), SHIFT * torch.randn(count)], 1),
    )
    kept = side / pictures.shape[-1]
    matrices = torch.stack(rows, 1) * torch.tensor([kept, kept, 1.0])
    grid = F.affine_grid(matrices, [count, 3, side, side], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
