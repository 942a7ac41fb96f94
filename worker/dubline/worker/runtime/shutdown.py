"""The shutdown state of a worker: not requested, requested, or forced.

After a request the worker finishes the current unit of work: a segment, a probe, or everything after the last segment.
After a forced stop it releases its work at the next step.
"""

from __future__ import annotations


class StoppedError(Exception):
    """The worker stops, so the current job or upload is released."""


class Shutdown:
    """Set by the thread that reads from the parent process, read by the working thread. It is never reset."""

    def __init__(self) -> None:
        self._requested = False
        self._forced = False

    @property
    def requested(self) -> bool:
        """Whether no new unit of work may begin."""
        return self._requested

    def request(self) -> None:
        """Request a graceful shutdown: the current unit of work is the last."""
        self._requested = True

    def force(self) -> None:
        """Force a stop: the current unit of work is not finished."""
        self._forced = True
        self._requested = True

    def raise_if_forced(self) -> None:
        """Check at each step within a unit of work.

        Raises:
            StoppedError: a stop is forced.
        """
        if self._forced:
            raise StoppedError

    def raise_if_requested(self) -> None:
        """Check between two units of work.

        Raises:
            StoppedError: a shutdown is requested or forced.
        """
        if self._requested:
            raise StoppedError
