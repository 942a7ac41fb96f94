"""How a command that prints ends when its output is not read."""

from __future__ import annotations

import os
import select
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Exit code of a command whose output is closed by its reader, as by `head`: 128 and the number of SIGPIPE, which
#: Windows does not have.
UNREAD: Final = 141


@contextmanager
def exit_if_unread() -> Iterator[None]:
    """Exit with `UNREAD`, and say nothing, if the reader of the output closes it while the block prints."""
    try:
        yield
        if _flush():
            return
    except SystemExit as end:
        # rich ends the process with 1; others leave what is not written yet.
        if not isinstance(end.__context__, BrokenPipeError) and _flush():
            raise
    except BrokenPipeError:
        # Of another pipe, such as that of a child process, it is an error.
        if not _is_closed():
            raise
    # The interpreter would try again to write the rest.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    sys.exit(UNREAD)


def _flush() -> bool:
    """Write the rest of the output; return False if its reader has closed it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True


def _is_closed() -> bool:
    """Tell whether the reader of the output has closed it."""
    poll = select.poll()
    # No event: the errors of a pipe are reported anyway.
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
