"""Backoff: delays between two polls and before a retry."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from dubline.client.errors import StoppedError

if TYPE_CHECKING:
    from threading import Event

POLL_MIN_S: Final = 0.3
POLL_MAX_S: Final = 2.0
MAX_TRIES: Final = 6

_GROWTH: Final = 1.4
_RETRY_MIN_S: Final = 0.2
_RETRY_MAX_S: Final = 5.0
_RETRY_AFTER_MAX_S: Final = 30.0
# Jitter, so that clients which failed together do not retry together.
_jitter = random.Random()  # noqa: S311


class PollBackoff:
    """Delays between two polls: they grow from 0.3 s to 2 s while nothing changes."""

    def __init__(self, closing: Event) -> None:
        self._closing = closing
        self._next_s = POLL_MIN_S

    def wait(self, *, changed: bool = False) -> None:
        """Wait for the next delay.

        Args:
            changed: the last poll found a change, so the delays start again.

        Raises:
            StoppedError: the client was closed.
        """
        if changed:
            self._next_s = POLL_MIN_S
        wait(self._closing, self._next_s)
        self._next_s = min(self._next_s * _GROWTH, POLL_MAX_S)


def retry_delay_s(failures: int, retry_after: str | None = None) -> float:
    """Return the delay before a retry: exponential with jitter, or longer if the server requests it.

    Args:
        failures: number of failures so far, at least 1.
        retry_after: the Retry-After header; only seconds are supported, dates are ignored.
    """
    requested_s = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    # The exponent is bounded: a run that waits out an outage of a day counts more failures than a float has exponents.
    delay_s = min(_RETRY_MIN_S * 2.0 ** min(failures - 1, 16), _RETRY_MAX_S) * _jitter.uniform(0.5, 1.0)
    return max(delay_s, min(requested_s, _RETRY_AFTER_MAX_S))


def wait(closing: Event, seconds: float) -> None:
    """Wait for a time.

    Raises:
        StoppedError: the client was closed.
    """
    if closing.wait(seconds):
        raise StoppedError("Stopped.")
