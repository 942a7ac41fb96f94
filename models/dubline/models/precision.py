"""Chooses the numbers that frames are rendered in."""

from __future__ import annotations

import torch


def halves(device: torch.device) -> bool:
    """Whether a device multiplies bf16 matrices in hardware: there, rendering in bf16 takes half the time."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch 2.11 to 2.13 have no public name for it.
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def rendering(device: torch.device) -> torch.autocast:
    """The context in which motion is rendered: for the product, and for whoever measures it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=halves(device))
