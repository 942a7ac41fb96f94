"""Lets a child of the prefork pool tell its parent that this worker can do no work and must stop."""

import mmap
import os
import signal


class Readiness:
    """Made by the parent before it forks; both sides see the same byte of memory."""

    def __init__(self) -> None:
        self._given_up = mmap.mmap(-1, 1)
        self._parent = os.getpid()

    @property
    def given_up(self) -> bool:
        """Whether a child found that it cannot work."""
        return self._given_up[0] != 0

    def give_up(self) -> None:
        """Stops the worker; its parent then ends with an exit code that is not 0."""
        self._given_up[0] = 1
        # A child that outlived its parent must not stop whoever adopted it.
        if os.getppid() == self._parent:
            os.kill(self._parent, signal.SIGTERM)
