"""What all processes do at their start. It imports little, because it comes before all other imports."""

from __future__ import annotations

import ctypes
import signal
import sys
from contextlib import suppress
from typing import Final

_DUMPABLE: Final = 4


def control(option: int, value: int) -> None:
    """Call prctl.

    Args:
        option: number of the option.
        value: its first argument.

    Raises:
        OSError: the kernel refuses it.
        AttributeError: this is not Linux.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the option")


def hide_memory() -> None:
    """Hide memory and environment of this process from other processes of its user; no effect outside Linux.

    Every process with credentials calls it at its start. The next `execve` undoes it.
    """
    with suppress(OSError, AttributeError):
        control(_DUMPABLE, 0)


def end_on_sigterm() -> None:
    """End at SIGTERM with the exit code that a shell gives, until another handler is set.

    Without any handler, the kernel drops the signal if this is process 1 of a container, and the container is killed
    at the end of its grace period.
    """
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
