"""Chooses where the networks run, and pins what makes their results vary from run to run."""

import os

import torch


def choose(name: str) -> torch.device:
    """Turns a setting into a device.

    Args:
        name: "auto" (CUDA where there is one), "cpu", or any torch device name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def pin() -> None:
    """Makes a process compute the same bits for the same input every time. Call it before any network."""
    # Sums are split by thread: one per processor that this process may use, and never another number.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(usable or 1)
    # cuDNN's own benchmark picks kernels by the clock.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
