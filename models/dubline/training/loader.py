"""Stores all training frames as bytes on the GPU, so that no batch waits for a transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.training.corpus import Clip


class FrameStore:
    """All frames of some clips on the device: one block of bytes on a GPU, the clips' own arrays on the CPU.

    A hundred thousand frames of 256 px take 20 GB of GPU memory; drawing a batch takes a few kernels.
    """

    def __init__(self, clips: Sequence[Clip], device: torch.device) -> None:
        self.device, self.frames = device, [clip.frames for clip in clips]
        self.block: Tensor | None = None
        counts = [len(frames) for frames in self.frames]
        self.starts = np.cumsum([0, *counts])
        if device.type != "cpu":
            shape = (int(self.starts[-1]), *self.frames[0].shape[1:])
            self.block = torch.empty(shape, dtype=torch.uint8, device=device)
            # Clip by clip, so that there is no second copy of the corpus in main memory.
            for start, frames in zip(self.starts, self.frames, strict=False):
                self.block[int(start) : int(start) + len(frames)] = torch.from_numpy(frames).to(device)

    def gather(self, clips: Sequence[int], times: Sequence[int]) -> Tensor:
        """Return frames of clips.

        Args:
            clips: B indices of clips.
            times: B indices of frames.

        Returns:
            (B, 3, S, S) float32 in [-1, 1] on the device.
        """
        if self.block is None:
            stack = np.stack([self.frames[clip][time] for clip, time in zip(clips, times, strict=True)])
            pixels = torch.from_numpy(stack)
        else:
            rows = torch.from_numpy(self.starts[np.asarray(clips)] + np.asarray(times))
            pixels = self.block[rows.to(self.device, non_blocking=True)]
        return rearrange(pixels, "b h w c -> b c h w").float() / 127.5 - 1
