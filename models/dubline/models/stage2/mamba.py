"""A Mamba-2 mixer with explicit state; parameter names and shapes are those of the mamba-ssm package."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dubline.models.stage2.selective_scan import ScanInputs, scan

KERNEL: Final = 4


class MambaState(NamedTuple):
    """State of a mixer between chunks."""

    recent: Tensor
    """The last inputs of the convolution (B, C, KERNEL - 1)."""
    scan: Tensor
    """The state of the scan (B, H, P, N)."""


class GatedNorm(nn.Module):
    """Root-mean-square norm of x * silu(gate)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """Normalise x (B, T, W)."""
        return F.rms_norm(x * F.silu(gate), (x.shape[-1],), self.weight, eps=1e-5)


class Mamba2(nn.Module):
    """Sequence mixer (B, T, W) -> (B, T, W), causal, linear in T."""

    def __init__(self, width: int, *, state: int, head_width: int, expand: int = 2) -> None:
        super().__init__()
        inner = expand * width
        self.state, self.head_width, self.heads = state, head_width, inner // head_width
        self.widths = [inner, inner + 2 * state, self.heads]
        self.in_proj = nn.Linear(width, sum(self.widths), bias=False)
        self.conv1d = nn.Conv1d(self.widths[1], self.widths[1], KERNEL, groups=self.widths[1])
        # Time steps are initialised log-uniformly between .001 and .1.
        dt = torch.exp(torch.rand(self.heads) * math.log(100) + math.log(1e-3))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = GatedNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def start(self, batch: int) -> MambaState:
        """Return the state before the first step."""
        weight = self.conv1d.weight
        recent = weight.new_zeros(batch, self.widths[1], KERNEL - 1)
        return MambaState(recent, weight.new_zeros(batch, self.heads, self.head_width, self.state))

    def forward(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """Mix x (B, T, W), continuing from `state`; any T, down to single steps."""
        gate, mixed, dt = self.in_proj(x).split(self.widths, dim=-1)
        padded = torch.cat([state.recent, mixed.mT], dim=-1)
        mixed = F.silu(self.conv1d(padded)).mT
        inner, b, c = mixed.split([self.widths[0], self.state, self.state], dim=-1)
        inputs = ScanInputs(
            rearrange(inner, "b t (h p) -> b t h p", h=self.heads),
            F.softplus(dt + self.dt_bias),
            -self.A_log.exp(),
            b,
            c,
            self.D,
        )
        y, scanned = scan(inputs, state.scan)
        out = self.out_proj(self.norm(rearrange(y, "b t h p -> b t (h p)"), gate))
        return out, MambaState(padded[..., 1 - KERNEL :], scanned)
