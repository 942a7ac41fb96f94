"""Whether this worker was asked to stop, and how soon. Work in hand asks at every step.

Asked once, a worker ends the piece at hand, which is a segment, a probe, or what follows the last segment. Asked
again, it hands its work back at the next step.
"""

from __future__ import annotations


class StoppedError(Exception):
    """The work at hand goes back to where it was claimed, because this worker stops."""


class Drain:
    """Set by the thread that hears from the parent, read by the thread that works. It never goes back."""

    def __init__(self) -> None:
        self._asked = False
        self._hurried = False

    @property
    def asked(self) -> bool:
        """Whether nothing new may begin."""
        return self._asked

    def ask(self) -> None:
        """Let the piece at hand be the last."""
        self._asked = True

    def hurry(self) -> None:
        """Let not even that be finished."""
        self._hurried = True
        self._asked = True

    def check(self) -> None:
        """Go on within a piece of work.

        Raises:
            StoppedError: not even the piece at hand may be finished.
        """
        if self._hurried:
            raise StoppedError

    def check_between(self) -> None:
        """Go on from one piece of work to the next.

        Raises:
            StoppedError: none may begin.
        """
        if self._asked:
            raise StoppedError
