"""A line every few seconds for the person who waits."""

from __future__ import annotations

import sys
import time
from typing import Final

PERIOD_S: Final = 10.0


class Progress:
    """Says how far a phase is.

    Args:
        phase: its name.
        jobs: how many there are.
    """

    def __init__(self, phase: str, jobs: int) -> None:
        self._phase, self._jobs = phase, jobs
        self._began = self._said_at = time.monotonic()
        self._said_done = 0

    def look(self, done: int, note: str) -> None:
        """Say how many jobs are done, if enough time has passed."""
        now = time.monotonic()
        if now - self._said_at < PERIOD_S:
            return
        rate = (done - self._said_done) / (now - self._said_at)
        self._said_at, self._said_done = now, done
        self.say(f"{done}/{self._jobs} done, {rate:.1f} jobs/s, {note}")

    def say(self, words: str) -> None:
        """Say something at once."""
        sys.stderr.write(f"{self._phase:7} {time.monotonic() - self._began:6.0f} s  {words}\n")
        sys.stderr.flush()
