"""How long to wait: between two looks at something, and before something is tried again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from dubline.client.errors import StoppedError

if TYPE_CHECKING:
    from threading import Event

FIRST_LOOK_S: Final = 0.3
LAST_LOOK_S: Final = 2.0
TRIES: Final = 6

_GROWTH: Final = 1.4
_FIRST_RETRY_S: Final = 0.2
_LAST_RETRY_S: Final = 5.0
_LONGEST_RETRY_AFTER_S: Final = 30.0
# Spreads out clients that failed together; nothing depends on its being hard to guess.
_spread = random.Random()  # noqa: S311


class Looks:
    """The growing pauses of one that polls: from 0.3 s to 2 s while nothing changes."""

    def __init__(self, closing: Event) -> None:
        self._closing = closing
        self._next_s = FIRST_LOOK_S

    def wait(self, *, changed: bool = False) -> None:
        """Pause.

        Raises:
            StoppedError: the client was closed meanwhile.
        """
        if changed:
            self._next_s = FIRST_LOOK_S
        rest(self._closing, self._next_s)
        self._next_s = min(self._next_s * _GROWTH, LAST_LOOK_S)


def before_retry_s(failures: int, retry_after: str | None = None) -> float:
    """Choose how long to wait after a number of failures: doubling, with jitter, or as the server asks.

    Args:
        failures: failures so far, 1 or more.
        retry_after: the header, if there is one; seconds, dates are not understood.
    """
    asked_s = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
    ours_s = min(_FIRST_RETRY_S * 2.0 ** (failures - 1), _LAST_RETRY_S) * _spread.uniform(0.5, 1.0)
    return max(ours_s, min(asked_s, _LONGEST_RETRY_AFTER_S))


def rest(closing: Event, seconds: float) -> None:
    """Do nothing for a while.

    Raises:
        StoppedError: the client was closed meanwhile.
    """
    if closing.wait(seconds):
        raise StoppedError("Stopped.")
