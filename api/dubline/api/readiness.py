"""The check behind the readiness probe: by a thread and a connection of its own, once for all probes of a moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from anyio import CapacityLimiter, Lock

from dubline.orchestration.domain.errors import DatabaseUnavailableError, DublineError

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

#: Time in which the database must respond.
DEADLINE_S: Final = 3.0
#: Time for which a result is used again. Probes need no key, so anybody may send many.
FRESH_S: Final = 1.0


class Readiness:
    """Whether the database can be used. It is used from one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._checked_s = float("-inf")
        self._fault: DublineError | None = None

    async def check(self) -> None:
        """Check the database, unless it was checked a moment ago.

        Raises:
            DatabaseUnavailableError: it is unavailable, or its tables are those of an older version.
        """
        async with self._lock:
            if time.monotonic() - self._checked_s > FRESH_S:
                self._fault = await self._find_fault()
                self._checked_s = time.monotonic()
            if self._fault is not None:
                raise self._fault

    async def _find_fault(self) -> DublineError | None:
        try:
            with anyio.fail_after(DEADLINE_S):
                await anyio.to_thread.run_sync(self._store.check, limiter=CapacityLimiter(1), abandon_on_cancel=True)
        except DublineError as error:
            return error
        except TimeoutError:
            return DatabaseUnavailableError(f"The database did not respond within {DEADLINE_S:.0f} s.")
        return None
