"""JPEG compression of a batch of pictures as matrix products, so that it runs on a GPU without files.

Follows the baseline of ITU-T T.81: YCbCr, chroma at half resolution, 8 x 8 cosine transform, the tables of its annex K
scaled by a quality as in the library of the Independent JPEG Group. Entropy coding is lossless and is left out.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

SIDE: Final = 8
#: ITU-T T.81, annex K, tables K.1 and K.2.
LUMA: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * SIDE,) * 4,
)
#: JFIF's conversion (ITU-R BT.601, full range), and back.
TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@torch.no_grad()
def compress(frames: Tensor, quality: Tensor) -> Tensor:
    """Compress and decompress pictures.

    Args:
        frames: (B, 3, H, W) in [-1, 1].
        quality: (B,), 1 to 100, on the usual scale.

    Returns:
        (B, 3, H, W) in [-1, 1].
    """
    height, width = frames.shape[-2:]
    padded = F.pad(frames * 127.5, (0, -width % (2 * SIDE), 0, -height % (2 * SIDE)), mode="replicate")
    colours = torch.einsum("ij,bjhw->bihw", frames.new_tensor(TO_YCC), padded)
    # Below 50 the steps grow as 1 / quality; above, they fall to 1 at 100.
    quality = quality.to(frames)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None]  # noqa: PLR2004 - the scale's middle
    luma = _requantise(colours[:, :1], (scale * _table(LUMA, frames.device)).round().clamp(1, 255))
    chroma = F.avg_pool2d(colours[:, 1:], 2)
    chroma = _requantise(chroma, (scale * _table(CHROMA, frames.device)).round().clamp(1, 255))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    pixels = torch.einsum("ij,bjhw->bihw", frames.new_tensor(TO_RGB), torch.cat([luma, chroma], 1))
    return (pixels[..., :height, :width] / 127.5).clamp(-1, 1)


def _requantise(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the cosine coefficients of planes (B, C, H, W) to multiples of steps (B, 64)."""
    rows = planes.shape[-2] // SIDE
    blocks = rearrange(planes, "b c (h p) (w q) -> b (c h w) (p q)", p=SIDE, q=SIDE)
    basis = _cosines(planes.device)
    coefficients = blocks @ basis.T
    coefficients = (coefficients / steps[:, None]).round() * steps[:, None]
    return rearrange(
        coefficients @ basis, "b (c h w) (p q) -> b c (h p) (w q)", c=planes.shape[1], h=rows, p=SIDE, q=SIDE
    )


@cache
def _table(rows: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(rows, device=device).flatten().float()


@cache
def _cosines(device: torch.device) -> Tensor:
    """Return the orthonormal 2-D cosine transform of a flattened block: (64, 64)."""
    index = torch.arange(SIDE, dtype=torch.float64)
    basis = torch.cos(math.pi * index[:, None] * (2 * index + 1) / (2 * SIDE)) * math.sqrt(2 / SIDE)
    basis[0] /= math.sqrt(2)
    return torch.kron(basis, basis).float().to(device)
