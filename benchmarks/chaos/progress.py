"""Progress lines on stderr."""

from __future__ import annotations

import sys
import time
from typing import Final

#: Shortest time between two lines.
PERIOD_S: Final = 10.0


class Progress:
    """Progress of one phase.

    Args:
        phase: name of the phase.
        jobs: jobs of the phase.
    """

    def __init__(self, phase: str, jobs: int) -> None:
        self._phase, self._jobs = phase, jobs
        self._started = self._printed_at = time.monotonic()
        self._printed_done = 0

    def update(self, done: int, note: str) -> None:
        """Print the number of finished jobs and the rate, at most every 10 s."""
        now = time.monotonic()
        if now - self._printed_at < PERIOD_S:
            return
        rate = (done - self._printed_done) / (now - self._printed_at)
        self._printed_at, self._printed_done = now, done
        self.print(f"{done}/{self._jobs} done, {rate:.1f} jobs/s, {note}")

    def print(self, message: str) -> None:
        """Print a message at once."""
        sys.stderr.write(f"{self._phase:7} {time.monotonic() - self._started:6.0f} s  {message}\n")
        sys.stderr.flush()
