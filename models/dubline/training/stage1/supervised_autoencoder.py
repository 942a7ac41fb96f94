"""What stage 1 trains: the autoencoder and a teacher's heads that read rig and landmarks off its motion latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.stage1.autoencoder import Autoencoder, Rendering, Source
from dubline.models.stage1.source_encoder import SourceFeatures
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams


class HeadOutputs(NamedTuple):
    """What is read off frames: motion latents (N, M), the rig (N, G), landmarks (N, 68, 2) in [-1, 1]."""

    motion: Tensor
    geometry: Tensor
    landmarks: Tensor


class SupervisedAutoencoder(nn.Module):
    """The autoencoder and two linear heads that must be able to read the rig and the landmarks off the motion latent.

    The rig says what a face does, the landmarks where its parts are in the picture: moving them there needs both.
    """

    def __init__(self, params: AutoencoderParams, geometry: int) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(params)
        self.geometry_head = nn.Linear(params.motion, geometry)
        self.landmark_head = nn.Linear(params.motion, FRAMED_LANDMARKS.size)
        # A head that knows nothing yet must not pull at a trained encoder.
        nn.init.zeros_(self.landmark_head.weight)
        with torch.no_grad():
            self.landmark_head.bias.copy_(torch.from_numpy(FRAMED_LANDMARKS).flatten())

    def forward(
        self, sources: Tensor, augmented: Tensor, size_px: int, *, mouth_eyes_refined: bool = False
    ) -> tuple[Rendering, HeadOutputs]:
        """Render driving frames from their sources.

        Args:
            sources: (B, 3, S, S).
            augmented: (N, 3, S, S), N / B driving frames of each source in a row, for the motion encoder.
            size_px: side at which to render.
            mouth_eyes_refined: apply the mouth-eye refiner, at side S.

        Returns:
            The rendering at size_px, or with refined mouth and eyes at S, and what is read off the driving frames.
        """
        network = self.autoencoder
        source = network.encode_source(sources.contiguous(memory_format=torch.channels_last), size_px)
        read = self.read(augmented)
        rendering: Rendering = network(
            _each(source, len(augmented) // len(sources), mouth_eyes_refined=mouth_eyes_refined), read.motion
        )
        return rendering, read

    def read(self, augmented: Tensor) -> HeadOutputs:
        """Driving frames (N, 3, S, S) -> their latents and what the heads read off them."""
        motion = self.autoencoder.encode_motion(augmented.contiguous(memory_format=torch.channels_last))
        return HeadOutputs(motion, self.geometry_head(motion), self.landmark_head(motion).unflatten(1, (-1, 2)))


def _each(source: Source, drives: int, *, mouth_eyes_refined: bool) -> Source:
    """Every source of a batch `drives` times in a row, at the side of the mouth-eye refiner or of the renderer only."""

    def repeat(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(drives, 0)

    small = repeat(source.render_frame)
    whole = repeat(source.network_frame) if mouth_eyes_refined else small
    features = SourceFeatures(*map(repeat, source.features))
    return Source(whole, whole, small, features, *map(repeat, (source.appearance, source.motion, source.maps)))
