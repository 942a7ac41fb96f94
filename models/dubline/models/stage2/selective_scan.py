"""The state-space recurrence of Mamba-2, chunked; the only file that may import mamba_ssm.

    h_t = exp(dt_t * A) * h_{t-1} + dt_t * x_t (outer) B_t        y_t = C_t . h_t + D * x_t

Axis letters of this file only: B batch, T steps, H heads, P values per head, N state size, Q steps per chunk.
Dao and Gu, *Transformers are SSMs*, arXiv 2405.21060, section 6.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

CHUNK: Final = 32


class ScanInputs(NamedTuple):
    """x (B, T, H, P), dt (B, T, H) > 0, decay A (H) < 0, inputs B and outputs C (B, T, N), skip D (H)."""

    x: Tensor
    dt: Tensor
    decay: Tensor
    b: Tensor
    c: Tensor
    skip: Tensor


def reference_scan(inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """One step after the other, as the equation reads: what every fast path must equal.

    Args:
        inputs: see ScanInputs.
        state: (B, H, P, N) before the first step.

    Returns:
        y (B, T, H, P) and the state after the last step.
    """
    x, dt, decay, b, c, skip = inputs
    outputs = []
    for t in range(x.shape[1]):
        fade = torch.exp(dt[:, t] * decay)[..., None, None]
        state = fade * state + torch.einsum("bh,bhp,bn->bhpn", dt[:, t], x[:, t], b[:, t])
        outputs.append(torch.einsum("bhpn,bn->bhp", state, c[:, t]) + skip[:, None] * x[:, t])
    return torch.stack(outputs, dim=1), state


def chunked_scan(inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """The same as matrix products within chunks of Q steps; only the chunks' states follow one another.

    Steps hear each other by plain products of two matrices: one einsum over all four tensors lays them out anew for
    each product.
    """
    steps = inputs.x.shape[1]
    x, dt, b, c = (_into_chunks(tensor) for tensor in (inputs.x, inputs.dt, inputs.b, inputs.c))
    # Sum of dt * A up to and including each step of the chunk: (B, chunks, Q, H).
    total = (dt * inputs.decay).cumsum(dim=2)
    driven = x * dt[..., None]
    # How much every output listens to every earlier input: (B, chunks, H, i, j).
    heard = (c @ b.mT)[:, :, None] * _fading(rearrange(total, "b c q h -> b c h q"))
    within = rearrange(heard @ rearrange(driven, "b c q h p -> b c h q p"), "b c h q p -> b c q h p")
    to_end = torch.exp(total[:, :, -1:] - total)
    gained = torch.einsum("bcjn,bcjh,bcjhp->bchpn", b, to_end, driven)
    before, state = _chain(gained, torch.exp(total[:, :, -1]), state)
    across = torch.einsum("bcin,bcih,bchpn->bcihp", c, torch.exp(total), before)
    y = within + across + inputs.skip[:, None] * x
    return rearrange(y, "b c q h p -> b (c q) h p")[:, :steps], state


def _into_chunks(tensor: Tensor) -> Tensor:
    """(B, T, ...) -> (B, chunks, Q, ...); the padding has dt = 0, which leaves the state as it is."""
    missing = -tensor.shape[1] % CHUNK
    padded = F.pad(tensor, [0, 0] * (tensor.ndim - 2) + [0, missing])
    chunks: Tensor = padded.unflatten(1, (-1, CHUNK))
    return chunks


def _fading(total: Tensor) -> Tensor:
    """How much of step j is left at step i >= j: (B, chunks, H, Q) -> (B, chunks, H, i, j)."""
    span = total[..., :, None] - total[..., None, :]
    future = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=total.device).triu(1)
    return span.masked_fill(future, -torch.inf).exp()


def _chain(gained: Tensor, fade: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """State before each chunk (B, chunks, H, P, N) and after the last."""
    before = []
    for index in range(gained.shape[1]):
        before.append(state)
        state = fade[:, index, :, None, None] * state + gained[:, index]
    return torch.stack(before, dim=1), state


def has_kernels(device: torch.device) -> bool:
    """Whether mamba_ssm's Triton kernels can run there."""
    return device.type == "cuda" and find_spec("mamba_ssm") is not None


def scan(inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """The fastest path that the device offers; arguments and result as `reference_scan`."""
    if not has_kernels(inputs.x.device):
        return chunked_scan(inputs, state)
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined  # noqa: PLC0415 - an optional extra

    x, dt, decay, b, c, skip = inputs
    y, state = mamba_chunk_scan_combined(
        x, dt, decay, b[:, :, None], c[:, :, None], 64, D=skip, initial_states=state, return_final_states=True
    )
    return y, state
