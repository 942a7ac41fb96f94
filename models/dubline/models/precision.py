"""The number format of the networks' matrix products."""

from __future__ import annotations

import torch


def supports_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch 2.11 to 2.13 have no public name for it.
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def bf16_autocast(device: torch.device) -> torch.autocast:
    """Return the autocast context of rendering: bf16 where the hardware has it, otherwise fp32.

    With matrix units bf16 takes half the time of fp32; emulated on a CPU it takes seven times as long.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=supports_bf16(device))


def training_autocast(device: torch.device) -> torch.autocast:
    """Return the autocast context of training: bf16 also with the bf16 products of AVX-512.

    There rendering is as fast in fp32, which another library computes, and training is not (docs/log.md).
    """
    products = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - as above
    return torch.autocast(device.type, torch.bfloat16, enabled=products or supports_bf16(device))
