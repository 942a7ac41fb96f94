"""The networks of stage 2: extractors, denoiser and whitening of the motion latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dubline.models.stage2.audio_encoder import GlobalExtractor, LocalExtractor, NoStyle
from dubline.models.stage2.denoiser import Denoiser

if TYPE_CHECKING:
    from dubline.models.presets import Preset


class Whitening(nn.Module):
    """Motion relative to the source frame as K values of unit variance: the principal components of training clips."""

    mean: Tensor
    """(M,), of relative motion."""
    basis: Tensor
    """(M, K), principal directions."""
    scale: Tensor
    """(K,), standard deviations."""

    def __init__(self, motion: int, whitened: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(motion))
        self.register_buffer("basis", torch.zeros(motion, whitened))
        self.register_buffer("scale", torch.ones(whitened))

    @torch.no_grad()
    def fit(self, relative: Tensor) -> None:
        """Fit mean, directions and scales to relative motion (N, M)."""
        mean = relative.mean(0)
        centred = relative - mean
        self.fit_moments(mean, centred.T @ centred / len(centred))

    @torch.no_grad()
    def fit_moments(self, mean: Tensor, covariance: Tensor) -> None:
        """Fit to a mean (M,) and a covariance (M, M), for more motion than fits into memory."""
        self.mean.copy_(mean)
        variance, vectors = torch.linalg.eigh(covariance)
        self.basis.copy_(vectors.flip(1)[:, : len(self.scale)])
        self.scale.copy_(variance.flip(0)[: len(self.scale)].clamp_min(0).sqrt().clamp_min(1e-4))

    def forward(self, motion: Tensor, source: Tensor) -> Tensor:
        """Whiten latents (..., M) relative to the source's latent: (..., K)."""
        return (motion - source - self.mean) @ self.basis / self.scale

    def invert(self, whitened: Tensor, source: Tensor) -> Tensor:
        """Compute latents (..., M) from whitened motion (..., K) and the source's latent."""
        return (whitened * self.scale) @ self.basis.T + self.mean + source


class Diffusion(nn.Module):
    """The networks of stage 2; `dubline.models.sampling` samples from them."""

    source_mean: Tensor
    """(M + A,), mean of the source's motion latent and appearance code over training clips."""
    source_std: Tensor
    """(M + A,), their standard deviation."""

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
        """Standardise the source's latent (B, M) and appearance code (B, A), clamped to 4 standard deviations."""
        both = (torch.cat([motion, appearance], dim=-1) - self.source_mean) / self.source_std
        standard = both.clamp(-4, 4).split([motion.shape[-1], appearance.shape[-1]], dim=-1)
        return standard[0], standard[1]
