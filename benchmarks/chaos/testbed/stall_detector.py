"""When to stop waiting: nothing has moved for too long."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


class StalledError(Exception):
    """A campaign does not move on; the message says what was waited for."""


@dataclass(slots=True)
class Patience:
    """Watches a value that should change."""

    limit_s: float
    """How long it may stay as it is."""
    _value: object = None
    _since: float = field(default_factory=time.monotonic)

    def look(self, value: object, waiting_for: str) -> None:
        """Note the value.

        Raises:
            StalledError: it has been the same for too long.
        """
        now = time.monotonic()
        if value != self._value:
            self._value, self._since = value, now
        elif now - self._since > self.limit_s:
            raise StalledError(f"nothing moved for {self.limit_s:.0f} s while waiting for {waiting_for}: {value}")
