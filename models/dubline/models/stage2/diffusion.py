"""Stage 2: speech to motion latents. Holds the extractors, the denoiser and the whitening of the latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dubline.models.stage2.audio_encoder import GlobalExtractor, LocalExtractor, NoStyle
from dubline.models.stage2.denoiser import Denoiser

if TYPE_CHECKING:
    from dubline.models.presets import Preset


class Whitening(nn.Module):
    """Motion relative to the source frame, as K values of unit variance: principal directions over training clips."""

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, motion: int, whitened: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(motion))
        self.register_buffer("basis", torch.zeros(motion, whitened))
        self.register_buffer("scale", torch.ones(whitened))

    @torch.no_grad()
    def fit(self, relative: Tensor) -> None:
        """Find mean, directions and scales of relative motion (N, M)."""
        mean = relative.mean(0)
        centred = relative - mean
        self.fit_moments(mean, centred.T @ centred / len(centred))

    @torch.no_grad()
    def fit_moments(self, mean: Tensor, covariance: Tensor) -> None:
        """The same from the mean (M,) and covariance (M, M), for more motion than fits into memory."""
        self.mean.copy_(mean)
        variance, vectors = torch.linalg.eigh(covariance)
        self.basis.copy_(vectors.flip(1)[:, : len(self.scale)])
        self.scale.copy_(variance.flip(0)[: len(self.scale)].clamp_min(0).sqrt().clamp_min(1e-4))

    def forward(self, motion: Tensor, source: Tensor) -> Tensor:
        """Latent (..., M) and the source's latent -> whitened (..., K)."""
        return (motion - source - self.mean) @ self.basis / self.scale

    def invert(self, whitened: Tensor, source: Tensor) -> Tensor:
        """Whitened (..., K) and the source's latent -> latents (..., M)."""
        return (whitened * self.scale) @ self.basis.T + self.mean + source


class Diffusion(nn.Module):
    """The networks of stage 2; how to draw from them is in `sampling`."""

    source_mean: Tensor
    source_std: Tensor

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.params = params = preset.diffusion
        motion, appearance = preset.autoencoder.motion, preset.autoencoder.appearance
        self.whitening = Whitening(motion, params.whitened)
        self.style_extractor = GlobalExtractor(params) if params.uses_style else NoStyle()
        self.articulation_extractor = LocalExtractor(params)
        self.denoiser = Denoiser(params, motion, appearance)
        self.register_buffer("source_mean", torch.zeros(motion + appearance))
        self.register_buffer("source_std", torch.ones(motion + appearance))

    def standardise(self, motion: Tensor, appearance: Tensor) -> tuple[Tensor, Tensor]:
        """The source's latent (B, M) and appearance code (B, A), each value about unit variance."""
        both = (torch.cat([motion, appearance], dim=-1) - self.source_mean) / self.source_std
        standard = both.clamp(-4, 4).split([motion.shape[-1], appearance.shape[-1]], dim=-1)
        return standard[0], standard[1]
