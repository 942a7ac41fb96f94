"""Keeps a GPU fed: all frames lie on it as bytes."""

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
    """All frames of some clips where the network is: as one block of bytes on a GPU, as they are on the CPU.

    A hundred thousand frames of 256 px take 20 GB of a GPU's memory, and drawing a batch of them a few kernels.
    """

    def __init__(self, clips: Sequence[Clip], device: torch.device) -> None:
        self.device, self.frames = device, [clip.frames for clip in clips]
        self.block: Tensor | None = None
        counts = [len(frames) for frames in self.frames]
        self.starts = np.cumsum([0, *counts])
        if device.type != "cpu":
            shape = (int(self.starts[-1]), *self.frames[0].shape[1:])
            self.block = torch.empty(shape, dtype=torch.uint8, device=device)
            # Clip by clip: no second copy of the corpus in the machine's memory.
            for start, frames in zip(self.starts, self.frames, strict=False):
                self.block[int(start) : int(start) + len(frames)] = torch.from_numpy(frames).to(device)

    def take(self, clips: Sequence[int], times: Sequence[int]) -> Tensor:
        """The frames at some times of some clips.

        Args:
            clips: B indices into the clips.
            times: B frame indices.

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
