"""The selective scan of Mamba-2, in chunks. Only this file may import mamba_ssm.

    h_t = exp(dt_t * A) * h_{t-1} + dt_t * x_t (outer) B_t        y_t = C_t . h_t + D * x_t

Axis letters in this file: B batch, T steps, H heads, P values per head, N state size, Q steps per chunk.
Dao and Gu, *Transformers are SSMs*, arXiv 2405.21060, section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Final, NamedTuple

import structlog
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

#: Q, steps per chunk.
CHUNK: Final = 32
#: Largest relative difference of the kernels from `chunked_scan`: the rounding of bf16 and of TF32 products.
TOLERANCE: Final = 0.02

Kernels = Callable[..., tuple[Tensor, Tensor]]

_log = structlog.get_logger(__name__)


class ScanInputs(NamedTuple):
    """Inputs of a scan."""

    x: Tensor
    """(B, T, H, P)."""
    dt: Tensor
    """(B, T, H), > 0."""
    decay: Tensor
    """A (H), < 0."""
    b: Tensor
    """(B, T, N)."""
    c: Tensor
    """(B, T, N)."""
    skip: Tensor
    """D (H)."""


def reference_scan(inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """Scan step by step, as in the equation; the fast paths must equal it.

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
    """Scan by matrix products within chunks of Q steps; only the states of the chunks are computed in sequence.

    The mixing within a chunk is written as products of two matrices: one einsum over all four tensors would copy them
    to a new layout for each product.
    """
    steps = inputs.x.shape[1]
    x, dt, b, c = (_into_chunks(tensor) for tensor in (inputs.x, inputs.dt, inputs.b, inputs.c))
    # Sum of dt * A up to and including each step of the chunk: (B, chunks, Q, H).
    total = (dt * inputs.decay).cumsum(dim=2)
    driven = x * dt[..., None]
    # Weight of each earlier input in each output: (B, chunks, H, i, j).
    mixing = (c @ b.mT)[:, :, None] * _decay(rearrange(total, "b c q h -> b c h q"))
    within = rearrange(mixing @ rearrange(driven, "b c q h p -> b c h q p"), "b c h q p -> b c q h p")
    to_end = torch.exp(total[:, :, -1:] - total)
    gained = torch.einsum("bcjn,bcjh,bcjhp->bchpn", b, to_end, driven)
    before, state = _carry_states(gained, torch.exp(total[:, :, -1]), state)
    across = torch.einsum("bcin,bcih,bchpn->bcihp", c, torch.exp(total), before)
    y = within + across + inputs.skip[:, None] * x
    return rearrange(y, "b c q h p -> b (c q) h p")[:, :steps], state


def _into_chunks(tensor: Tensor) -> Tensor:
    """Reshape (B, T, ...) to (B, chunks, Q, ...); padding has dt = 0, which keeps the state."""
    missing = -tensor.shape[1] % CHUNK
    padded = F.pad(tensor, [0, 0] * (tensor.ndim - 2) + [0, missing])
    chunks: Tensor = padded.unflatten(1, (-1, CHUNK))
    return chunks


def _decay(total: Tensor) -> Tensor:
    """Compute the decay from step j to step i >= j: (B, chunks, H, Q) -> (B, chunks, H, i, j)."""
    span = total[..., :, None] - total[..., None, :]
    future = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=total.device).triu(1)
    return span.masked_fill(future, -torch.inf).exp()


def _carry_states(gained: Tensor, fade: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the state before each chunk (B, chunks, H, P, N) and after the last one."""
    before = []
    for index in range(gained.shape[1]):
        before.append(state)
        state = fade[:, index, :, None, None] * state + gained[:, index]
    return torch.stack(before, dim=1), state


@cache
def kernels(device: torch.device, head_width: int, state: int, dtype: torch.dtype) -> Kernels | None:
    """Import mamba_ssm's Triton kernels and compare them with `chunked_scan` once for these sizes.

    Triton compiles with a C compiler at the first call, for each size, so an import alone does not show that they work.

    Args:
        device: of the scan.
        head_width: P.
        state: N.
        dtype: of the inputs.

    Returns:
        The scan of mamba_ssm; None if it is not installed, or if it failed or differs, which is logged.
    """
    if find_spec("mamba_ssm") is None:
        return None
    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined  # noqa: PLC0415 - an optional extra

        found: Kernels = mamba_chunk_scan_combined
        difference = _difference(found, *_trial(device, head_width, state, dtype))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an optional package, the scan works without it
        _log.warning("kernels_not_usable", package="mamba_ssm", reason=repr(error))
        return None
    if not difference <= TOLERANCE:
        _log.warning("kernels_not_usable", package="mamba_ssm", reason=f"differs by {difference:.3g} from chunked_scan")
        return None
    return found


def scan(inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """Scan by the fastest path of the device; arguments and result as in `reference_scan`."""
    x = inputs.x
    found = kernels(x.device, x.shape[-1], state.shape[-1], x.dtype) if x.device.type == "cuda" else None
    return chunked_scan(inputs, state) if found is None else _by_kernels(found, inputs, state)


def _trial(device: torch.device, head_width: int, state: int, dtype: torch.dtype) -> tuple[ScanInputs, Tensor]:
    """Draw inputs of two chunks and a step, without the global random state."""
    generator, steps, heads = torch.Generator().manual_seed(0), 2 * CHUNK + 1, 2

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(device, dtype)

    inputs = ScanInputs(
        draw(1, steps, heads, head_width),
        draw(1, steps, heads) / 10,
        -draw(heads).float(),
        draw(1, steps, state),
        draw(1, steps, state),
        draw(heads).float(),
    )
    return inputs, draw(1, heads, head_width, state).float()


def _difference(found: Kernels, inputs: ScanInputs, state: Tensor) -> float:
    """Return the largest difference of the kernels' outputs from `chunked_scan`'s, over the largest output."""
    pairs = zip(_by_kernels(found, inputs, state), chunked_scan(inputs, state), strict=True)
    return max(float((made - true).abs().max() / true.abs().max()) for made, true in pairs)


def _by_kernels(combined: Kernels, inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    x, dt, decay, b, c, skip = inputs
    y, state = combined(
        x, dt, decay, b[:, :, None], c[:, :, None], 64, D=skip, initial_states=state, return_final_states=True
    )
    return y, state
