"""Stall detector: ends a wait in which nothing changes for too long."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


class StalledError(Exception):
    """A value did not change within the time limit; the message names what the campaign was waiting for."""


@dataclass(slots=True)
class StallDetector:
    """Raises if a value stays the same for longer than a limit."""

    limit_s: float
    """Longest time without a change."""
    _value: object = None
    _since: float = field(default_factory=time.monotonic)

    def observe(self, value: object, waiting_for: str) -> None:
        """Compare the current value with the last one.

        Raises:
            StalledError: the value has been the same for longer than the limit.
        """
        now = time.monotonic()
        if value != self._value:
            self._value, self._since = value, now
        elif now - self._since > self.limit_s:
            raise StalledError(f"no change for {self.limit_s:.0f} s while waiting for {waiting_for}: {value}")
