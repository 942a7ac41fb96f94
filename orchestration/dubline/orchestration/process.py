"""What a process asks of the Linux kernel about itself, and how it ends when its output is not read."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Exit code of a command whose output is closed by its reader, as by `head`: 128 and the number of SIGPIPE.
UNREAD: Final = 141

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


def run_printing(command: Callable[[], int]) -> int:
    """Run a command that prints.

    Returns:
        Its exit code; `UNREAD`, and nothing is said, if the reader of its output has closed it.
    """
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except SystemExit as end:
        # rich ends the process with 1.
        if not isinstance(end.__context__, BrokenPipeError):
            raise
    else:
        return code
    # The interpreter would try again to write the rest.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return UNREAD
