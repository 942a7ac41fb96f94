"""Sample sheets for visual inspection: inputs, targets and outputs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def save_sheet(path: Path, *columns: Tensor, rows: int = 6) -> None:
    """Write batches of frames (B, 3, H, W) in [-1, 1] as the columns of one picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stack = torch.stack([column[:rows].detach().float() for column in columns])
    sheet = rearrange(stack, "columns rows c h w -> (rows h) (columns w) c")
    pixels = ((sheet.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    Image.fromarray(pixels).save(path)
