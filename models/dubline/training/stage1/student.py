"""What stage 1 trains: the autoencoder and a teacher's head that reads the rig off its motion latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dubline.models.autoencoder import Autoencoder, Rendering, Source
from dubline.models.source_encoder import SourceFeatures

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams


class Student(nn.Module):
    """The autoencoder and a linear head that must be able to read the rig off the motion latent: (B, M) -> (B, G)."""

    def __init__(self, params: AutoencoderParams, geometry: int) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(params)
        self.geometry_head = nn.Linear(params.motion, geometry)

    def forward(
        self, sources: Tensor, heard: Tensor, size_px: int, *, retouched: bool = False
    ) -> tuple[Rendering, Tensor]:
        """Render driving frames from their sources.

        Args:
            sources: (B, 3, S, S).
            heard: (N, 3, S, S), N / B driving frames of each source in a row, for the motion encoder.
            size_px: side at which to render.
            retouched: let the retoucher go over it, at side S.

        Returns:
            The rendering at size_px, or retouched at S, and what the head reads off the latents (N, G).
        """
        network = self.autoencoder
        source = network.encode_source(sources.contiguous(memory_format=torch.channels_last), size_px)
        motion, geometry = self.read(heard)
        rendering: Rendering = network(_each(source, len(heard) // len(sources), retouched=retouched), motion)
        return rendering, geometry

    def read(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Driving frames (N, 3, S, S) -> their latents (N, M) and the rig that the head reads off them (N, G)."""
        motion = self.autoencoder.encode_motion(heard.contiguous(memory_format=torch.channels_last))
        return motion, self.geometry_head(motion)


def _each(source: Source, drives: int, *, retouched: bool) -> Source:
    """Every source of a batch `drives` times in a row, at the side of the retoucher or of the renderer only."""

    def repeat(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(drives, 0)

    small = repeat(source.small)
    whole = repeat(source.whole) if retouched else small
    features = SourceFeatures(*map(repeat, source.features))
    return Source(whole, whole, small, features, *map(repeat, (source.appearance, source.motion, source.maps)))
