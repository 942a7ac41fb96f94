"""Device selection, deterministic settings, and translation of device errors."""

from __future__ import annotations

import os
from typing import Final

import torch

from dubline.orchestration.domain.errors import DeviceFailedError, DublineError, OutOfMemoryError

#: Words of torch, CUDA's libraries and Triton. An allocation that failed leaves the device in order.
SHORT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
#: After any other error every later call of this process fails too.
BROKEN: Final = ("CUDA error", "CUDA driver error", "cuDNN error", "CUDNN_STATUS_", "Triton Error [CUDA]")


def choose(name: str) -> torch.device:
    """Turn a setting into a device.

    Args:
        name: "auto" (CUDA where there is one), "cpu", or any torch device name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def make_deterministic() -> None:
    """Make a process compute the same bits for the same input every time. Call it before any network."""
    # Sums are split by thread: one per processor that this process may use, and never another number.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(usable or 1)
    # cuDNN's own benchmark picks kernels by the clock.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def fault(error: BaseException) -> DublineError | None:
    """What an exception says of the device: it had too little memory, or is of no more use to this process.

    Returns:
        None where it says nothing of the kind.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return OutOfMemoryError()
    if not isinstance(error, RuntimeError):
        return None
    words = str(error)
    if any(short in words for short in SHORT_OF_MEMORY):
        return OutOfMemoryError()
    if isinstance(error, torch.AcceleratorError) or any(broken in words for broken in BROKEN):
        return DeviceFailedError()
    return None
