"""The first child of a worker: a fork of its parent, which has imported what the child needs."""

from __future__ import annotations

import gc
import os
import socket
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    #: Works until the parent requests a stop: gets its end of the socket, as a file descriptor, and its folder.
    Work = Callable[[int, Path], int]


class ForkedChild:
    """A running fork, used as a `Popen`.

    Args:
        pid: its process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @classmethod
    def start(cls, work: Work, folder: Path, credentials: Mapping[str, str]) -> tuple[Self, socket.socket]:
        """Fork. The calling process must have one thread, and no object that its end must tidy up in the fork.

        Args:
            work: what the fork does; it ends with the exit code that this returns.
            folder: scratch folder of the worker.
            credentials: environment variables of the fork besides those of this process.

        Returns:
            The child, and this process's end of the socket to it.
        """
        ours, theirs = socket.socketpair()
        # The search for garbage would copy the memory that both processes share.
        gc.collect()
        gc.freeze()
        pid = os.fork()
        if not pid:
            ours.close()
            os.environ.update(credentials)
            _end_with(lambda: work(theirs.detach(), folder))
        theirs.close()
        return cls(pid), ours

    def wait(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _end_with(work: Callable[[], int]) -> NoReturn:
    """Work, and end this process. What the parent is to do at its own end, such as removing its folder, is left out."""
    code = 1
    try:
        code = work()
    except BaseException:  # noqa: BLE001 - any error ends the fork here, with its trace on standard error
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
