"""Plays motion on a picture with released networks, as the product does, from one of three sources of motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from einops import rearrange

from dubline.models.motion.controls import USUAL, Controls
from dubline.models.precision import rendering
from dubline.models.sampling import sample_motion
from dubline.training.corpus import to_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks

#: Frames whose motion is read in one call.
READING_BATCH: Final = 25


class MotionRenderer:
    """Both stages of one preset, asked in numpy's terms: pictures are (..., S, S, 3) uint8."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.device = next(networks.autoencoder.parameters()).device

    @torch.inference_mode()
    def source(self, picture: NDArray[np.uint8]) -> Source:
        """Show a square picture (S, S, 3), of any size, to the networks."""
        return self.networks.autoencoder.encode_source(to_frames(picture[None], self.device))

    @torch.inference_mode()
    def encode_motion(self, pictures: NDArray[np.uint8]) -> Tensor:
        """What the motion encoder reads off a clip's own pictures (T, S, S, 3): (T, M)."""
        starts = range(0, len(pictures), READING_BATCH)
        batches = (to_frames(pictures[start : start + READING_BATCH], self.device) for start in starts)
        return torch.cat([self.networks.autoencoder.encode_motion(batch) for batch in batches])

    def sample_motion(
        self, source: Source, speech: NDArray[np.float32], count: int, seed: int = 0, *, controls: Controls = USUAL
    ) -> Tensor:
        """What stage 2 makes of a source and speech (N,) at 16 kHz, in `count` frames: (count, M)."""
        windows = sample_motion(self.networks, source, lambda: iter([speech]), count, seed, controls=controls)
        return torch.cat(list(windows)).to(self.device)

    @torch.inference_mode()
    def readings(self, source: Source, motion: Tensor) -> Tensor:
        """What `dubline.models.motion.readout` reads off motion (T, M), relative to the source: (T, 11)."""
        whiten, rig = self.networks.diffusion.whitening, self.networks.rig
        read: Tensor = rig(whiten(motion, source.motion) - whiten(source.motion, source.motion))
        return read

    @staticmethod
    def transfer_motion(source: Source, driving: Tensor) -> Tensor:
        """Another clip's motion (T, M), relative to its own first frame, set upon a source's."""
        return source.motion + driving - driving[:1]

    @torch.inference_mode()
    def play(self, source: Source, motion: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Render motion (T, M) from a source, batch after batch: pictures (t, S, S, 3) at the source's own size."""
        for latents in motion.float().split(self.networks.preset.render_batch):
            with rendering(self.device):
                frames = self.networks.autoencoder.render(source, latents)
            yield to_pixels(frames)


def to_pixels(frames: Tensor) -> NDArray[np.uint8]:
    """(T, 3, H, W) in [-1, 1] -> (T, H, W, 3) uint8."""
    pixels = rearrange(frames.float().clamp(-1, 1), "t c h w -> t h w c")
    return np.asarray(((pixels + 1) * 127.5).round().to(torch.uint8).cpu().numpy())
