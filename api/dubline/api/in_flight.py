"""The limit on the requests of one tenant that are processed at once, so that some are left to the other tenants."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
from anyio import Semaphore

from dubline.orchestration.domain.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Requests of one tenant that one process works on at once; less than half the connections of the database.
WORKING: Final = 8
#: Further requests of the tenant wait, at most so many and so long; then they are refused with 503.
WAITING: Final = 100
WAIT_S: Final = 10.0


class Slot:
    """The right of a request to be processed."""

    def __init__(self, free: Semaphore) -> None:
        self._free = free

    @asynccontextmanager
    async def handed_over(self) -> AsyncIterator[None]:
        """Let another request of the tenant be processed during the block, in which this one only waits."""
        self._free.release()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._free.acquire()


class InFlight:
    """The requests of all tenants. It is used from one event loop."""

    def __init__(self) -> None:
        self._free: dict[str, Semaphore] = {}
        self._present: dict[str, int] = {}

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[Slot]:
        """Wait for a slot; it is free again with the block.

        Raises:
            BusyError: too many requests of the tenant wait, or this one has waited too long.
        """
        free = self._free.setdefault(tenant, Semaphore(WORKING))
        if free.value == 0 and free.statistics().tasks_waiting >= WAITING:
            raise BusyError
        self._present[tenant] = self._present.get(tenant, 0) + 1
        try:
            await _acquire(free)
            try:
                yield Slot(free)
            finally:
                free.release()
        finally:
            self._present[tenant] -= 1
            if not self._present[tenant]:
                del self._present[tenant], self._free[tenant]


async def _acquire(free: Semaphore) -> None:
    try:
        with anyio.fail_after(WAIT_S):
            await free.acquire()
    except TimeoutError:
        raise BusyError from None
