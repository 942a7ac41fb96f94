"""How a command that prints ends when its output is not read."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Exit code of a command whose output is closed by its reader, as by `head`: 128 and the number of SIGPIPE.
UNREAD: Final = 141


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
