"""What a run waits for: the end of an outage of the server or of the network, and room in a quota."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_S: Final = 2.0
_GROWTH: Final = 1.5
_LONGEST_S: Final = 60.0


class Outage:
    """Tells a user what is waited for, once for all threads that notice it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Create one; nothing is told yet.

        Args:
            tell: shows a sentence to the user.
        """
        self._tell = tell
        self._lock = Lock()
        self._lasts = False
        self._told_until_s = 0.0

    def pause_s(self, failures: int, reason: str) -> float:
        """Tell that a request failed, and return the pause before its next try: 2 s, growing to a minute.

        Args:
            failures: consecutive failures of this request, at least 1.
            reason: what failed, without a full stop.
        """
        with self._lock:
            self._lasts = True
        return self._told(failures, f"{reason}.")

    def full_s(self, refusals: int, detail: str) -> float:
        """Tell that a quota is reached, and return the pause before the next try: 2 s, growing to a minute.

        Args:
            refusals: consecutive refusals of this request, at least 1.
            detail: what the server said, in sentences.
        """
        return self._told(refusals, detail)

    def _told(self, failures: int, sentence: str) -> float:
        pause_s = min(_FIRST_S * _GROWTH ** min(failures - 1, 20), _LONGEST_S)
        with self._lock:
            if time.monotonic() >= self._told_until_s:
                self._told_until_s = time.monotonic() + pause_s
                self._tell(f"{sentence} Trying again in {pause_s:.0f} s.")
        return pause_s

    def ended(self) -> None:
        """Tell that the server responds again, if it did not before."""
        with self._lock:
            if self._lasts:
                self._lasts, self._told_until_s = False, 0.0
                self._tell("The server responds again.")
