"""The denoiser: a transformer over one window with a per-frame adaptive layer norm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

if TYPE_CHECKING:
    from dubline.models.presets import DiffusionParams


class Condition(NamedTuple):
    """Condition of the denoiser for a window of P previous and T new frames."""

    audio: Tensor
    """Articulation (B, P + T, W)."""
    style: Tensor
    """(B, Z); Z = 0 without the global extractor."""
    appearance: Tensor
    """(B, A)."""
    source: Tensor
    """(B, M), the source frame's motion latent."""
    previous: Tensor
    """(B, P, K), whitened motion of the frames before."""
    known: Tensor
    """(B, 1), 0 where there are no frames before."""


class Block(nn.Module):
    """Self-attention and MLP; the condition of each frame scales, shifts and gates both."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Refine x (B, T, W) under condition (B, T, W)."""
        scale_a, shift_a, gate_a, scale_m, shift_m, gate_m = self.modulation(F.silu(condition)).chunk(6, dim=-1)
        x = x + gate_a * self.dropout(self._attend(self.norm(x) * (1 + scale_a) + shift_a))
        refined: Tensor = x + gate_m * self.dropout(self.mlp(self.norm(x) * (1 + scale_m) + shift_m))
        return refined

    def _attend(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        attended: Tensor = self.out(
            rearrange(F.scaled_dot_product_attention(q, k, v), "b h t d -> b t (h d)", h=self.heads)
        )
        return attended


class Denoiser(nn.Module):
    """Noisy whitened motion (B, T, K), its time and a condition -> prediction (B, T, K) of the objective."""

    def __init__(self, params: DiffusionParams, motion: int, appearance: int) -> None:
        super().__init__()
        width, self.previous = params.width, params.previous
        self.input_projection = nn.Linear(params.whitened, width)
        self.previous_projection = nn.Linear(params.whitened + 1, width)
        self.position = nn.Parameter(torch.randn(params.previous + params.window, width) * 0.02)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.audio = nn.Linear(params.audio_width, width)
        self.uses_appearance = params.uses_appearance
        known = motion + (params.style if params.uses_style else 0) + (appearance if params.uses_appearance else 0)
        self.identity = nn.Linear(known, width)
        self.blocks = nn.ModuleList(Block(width, params.heads, params.dropout) for _ in range(params.layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.output_projection = nn.Linear(width, params.whitened)
        for layer in (self.modulation, self.output_projection):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Predict velocity, clean motion or noise (depending on the objective) for noisy (B, T, K) at time (B,)."""
        previous, known = condition.previous, condition.known[:, None].expand(-1, self.previous, 1)
        past = self.previous_projection(torch.cat([previous * known, known], dim=-1))
        x = torch.cat([past, self.input_projection(noisy)], dim=1) + self.position
        appearance = [condition.appearance] if self.uses_appearance else []
        identity = self.identity(torch.cat([condition.style, *appearance, condition.source], dim=-1))
        embedded = self.audio(condition.audio) + (self.time(self._time_embedding(time)) + identity)[:, None]
        for block in self.blocks:
            x = block(x, embedded)
        scale, shift = self.modulation(F.silu(embedded)).chunk(2, dim=-1)
        prediction: Tensor = self.output_projection(self.norm(x) * (1 + scale) + shift)[:, self.previous :]
        return prediction

    def _time_embedding(self, time: Tensor) -> Tensor:
        """Compute the sinusoidal embedding (B, W) of time (B,) in [0, 1]."""
        half = self.position.shape[1] // 2
        rates = torch.exp(-math.log(1000.0) * torch.arange(half, device=time.device) / half) * 1000
        angles = time[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
