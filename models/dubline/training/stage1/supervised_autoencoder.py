"""The trained module of stage 1: the autoencoder and linear supervision heads on its motion latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.stage1.autoencoder import Autoencoder, Rendering, Source
from dubline.models.stage1.source_encoder import SourceFeatures
from dubline.training.stage1.losses.mixing import Mixing, mixing_of
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams


class HeadOutputs(NamedTuple):
    """Motion latents of frames and the heads' predictions."""

    motion: Tensor
    """(N, M)."""
    geometry: Tensor
    """(N, G), standardised rig parameters."""
    landmarks: Tensor
    """(N, 68, 2) in [-1, 1]."""
    mixing: Mixing | None = None
    """Of rendered frames."""


class SupervisedAutoencoder(nn.Module):
    """The autoencoder and two linear heads, which predict rig parameters and landmarks from the motion latent.

    Rig parameters describe facial motion, landmarks the position in the frame; a deformation needs both.
    """

    def __init__(self, params: AutoencoderParams, geometry: int) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(params)
        self.geometry_head = nn.Linear(params.motion, geometry)
        self.landmark_head = nn.Linear(params.motion, FRAMED_LANDMARKS.size)
        # With zero weights an untrained head sends no gradient to a trained encoder.
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
            The rendering at size_px, or with refined mouth and eyes at S, and the outputs of the heads.
        """
        network = self.autoencoder
        source = network.encode_source(sources.contiguous(memory_format=torch.channels_last), size_px)
        outputs = self.predict(augmented)
        decoder, kept = network.deviation_decoder, list[Tensor]()
        # A hook, so that inference does not return what only a loss needs.
        hook = decoder.head.register_forward_hook(lambda _, __, out: kept.append(out))
        rendering: Rendering = network(
            repeated(source, len(augmented) // len(sources), mouth_eyes_refined=mouth_eyes_refined), outputs.motion
        )
        hook.remove()
        return rendering, outputs._replace(mixing=mixing_of(decoder, kept[0]))

    def predict(self, augmented: Tensor) -> HeadOutputs:
        """Encode driving frames (N, 3, S, S) and apply the heads."""
        motion = self.autoencoder.encode_motion(augmented.contiguous(memory_format=torch.channels_last))
        return HeadOutputs(motion, self.geometry_head(motion), self.landmark_head(motion).unflatten(1, (-1, 2)))


def repeated(source: Source, drives: int, *, mouth_eyes_refined: bool) -> Source:
    """Repeat each source `drives` times in a row, to render at the mouth-eye refiner's or at the renderer's side."""

    def repeat(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(drives, 0)

    small = repeat(source.render_frame)
    whole = repeat(source.network_frame) if mouth_eyes_refined else small
    features = SourceFeatures(*map(repeat, source.features))
    return Source(whole, whole, small, features, *map(repeat, (source.appearance, source.motion, source.maps)))
