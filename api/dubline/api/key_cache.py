"""The cache of API keys: a request with a key that was looked up a moment ago reads no row."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.database.store.accounts.keys import Caller

#: Seconds for which a looked-up key is accepted. A key that is revoked meanwhile is accepted for as long.
STALE_S: Final = 10.0
#: Keys in the cache of one process; the one looked up least recently is removed first.
MOST_KEYS: Final = 10_000


class KeyCache:
    """Callers by the SHA-256 of their keys. It is used from the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callers: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def get(self, sha256: str) -> Caller | None:
        """Return the caller of a key that was looked up in the last `STALE_S` seconds and has not expired since."""
        caller, until_s = self._callers.get(sha256, (None, 0.0))
        return caller if self._clock() < until_s else None

    def knows(self, sha256: str) -> bool:
        """Return whether a key was valid when it was looked up last, however long ago."""
        return sha256 in self._callers

    def put(self, sha256: str, caller: Caller | None) -> None:
        """Store the result of a lookup; a key without a caller is removed."""
        self._callers.pop(sha256, None)
        if caller is None:
            return
        life_s = STALE_S if caller.life_s is None else min(STALE_S, caller.life_s)
        self._callers[sha256] = (caller, self._clock() + life_s)
        if len(self._callers) > MOST_KEYS:
            self._callers.popitem(last=False)
