"""Encodes, samples and renders motion with the networks alone; `Animation` renders as the worker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from einops import rearrange

from dubline.models.precision import bf16_autocast
from dubline.models.sampling import sample_motion
from dubline.options.render import DEFAULT_CONTROLS, MotionControls
from dubline.training.corpus import to_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks

#: Frames encoded in one call.
READING_BATCH: Final = 25


class MotionRenderer:
    """Numpy interface to both stages of one preset. Frames are (..., S, S, 3) uint8."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.device = next(networks.autoencoder.parameters()).device

    @torch.inference_mode()
    def encode_source(self, picture: NDArray[np.uint8]) -> Source:
        """Encode a square source frame (S, S, 3) of any size."""
        return self.networks.autoencoder.encode_source(to_frames(picture[None], self.device))

    @torch.inference_mode()
    def encode_motion(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Encode the motion of frames (T, S, S, 3) with stage 1: (T, M)."""
        starts = range(0, len(pictures), READING_BATCH)
        batches = (to_frames(pictures[start : start + READING_BATCH], self.device) for start in starts)
        return torch.cat([self.networks.autoencoder.encode_motion(batch) for batch in batches])

    def sample_motion(
        self,
        source: Source,
        speech: NDArray[np.float32],
        count: int,
        seed: int = 0,
        *,
        controls: MotionControls = DEFAULT_CONTROLS,
    ) -> Tensor:
        """Sample motion from a source and speech (N,) at 16 kHz with stage 2: (count, M)."""
        windows = sample_motion(self.networks, source, lambda: iter([speech]), count, seed, controls=controls)
        return torch.cat(list(windows)).to(self.device)

    @torch.inference_mode()
    def readings(self, source: Source, motion: Tensor) -> Tensor:
        """Apply the linear motion readout to motion (T, M) relative to the source: (T, 11)."""
        whiten, readout = self.networks.diffusion.whitening, self.networks.readout
        read: Tensor = readout(whiten(motion, source.motion) - whiten(source.motion, source.motion))
        return read

    @staticmethod
    def transfer_motion(source: Source, driving: Tensor) -> Tensor:
        """Add another clip's motion (T, M), relative to its first frame, to the source's motion."""
        return source.motion + driving - driving[:1]

    @torch.inference_mode()
    def render(self, source: Source, motion: Tensor) -> Iterator[NDArray[np.uint8]]:
        """Render motion (T, M) from a source in batches: frames (t, S, S, 3) at the source's size."""
        for latents in motion.float().split(self.networks.preset.render_batch):
            with bf16_autocast(self.device):
                frames = self.networks.autoencoder.render(source, latents)
            yield to_pixels(frames)


def to_pixels(frames: Tensor) -> NDArray[np.uint8]:
    """Convert (T, 3, H, W) in [-1, 1] to (T, H, W, 3) uint8."""
    pixels = rearrange(frames.float().clamp(-1, 1), "t c h w -> t h w c")
    return np.asarray(((pixels + 1) * 127.5).round().to(torch.uint8).cpu().numpy())
