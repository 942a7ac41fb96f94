"""Reads how far the lips of a source frame are apart, from the pixels around its mouth."""

from __future__ import annotations

import math
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from dubline.models.layers import resize

#: Side at which frames are read, and the rows and columns that are: the mouth of a framed face with a margin.
SIDE_PX: Final = 256
ROWS: Final = slice(120, 232)
COLUMNS: Final = slice(72, 184)
#: Channels of the four convolutions, each of which halves the side.
WIDTHS: Final = (16, 32, 48, 64)
GROUPS: Final = 4
#: Added to the standard deviation of a picture's values, so that even ones are not amplified.
LEAST_CONTRAST: Final = 0.05
#: Share of the last features that are left out in training.
DROPOUT: Final = 0.2


class SourceGap(nn.Module):
    """A small convolutional network: frames (B, 3, S, S) in [-1, 1] -> lip gaps (B,) in cm, at least 0.

    On photographs with shut lips a linear reading of the motion latent reads .34 cm on average, this one .08
    (docs/log.md).
    """

    def __init__(self) -> None:
        super().__init__()
        blocks = zip((3, *WIDTHS[:-1]), WIDTHS, strict=True)
        self.convolutions = nn.Sequential(*(_block(before, after) for before, after in blocks))
        last_px = math.ceil((ROWS.stop - ROWS.start) / 2 ** (len(WIDTHS) + 1))
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(WIDTHS[-1] * last_px**2, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Read framed faces (B, 3, S, S)."""
        gaps: Tensor = self.read(mouths(frames)).clamp_min(0)
        return gaps

    def read(self, pictures: Tensor) -> Tensor:
        """Read pictures (B, 3, 56, 56) of `mouths`; the gaps (B,) may be below 0, which trains better."""
        mean, spread = pictures.mean((1, 2, 3), keepdim=True), pictures.std((1, 2, 3), keepdim=True)
        values = self.convolutions((pictures - mean) / (spread + LEAST_CONTRAST))
        gaps: Tensor = self.output(self.dropout(values.flatten(1)))[:, 0]
        return gaps


def mouths(frames: Tensor) -> Tensor:
    """Cut the region of the mouth out of frames (B, 3, S, S), at half the side: (B, 3, 56, 56) in [0, 1]."""
    return F.avg_pool2d(resize(frames, SIDE_PX, SIDE_PX)[..., ROWS, COLUMNS], 2) / 2 + 0.5


def _block(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(GROUPS, after), nn.SiLU())
