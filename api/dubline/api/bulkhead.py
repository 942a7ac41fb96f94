"""The bulkhead around the bucket: a bucket that does not respond occupies few threads, and no request for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter, Semaphore

from dubline.orchestration.domain.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Requests of one process to the bucket at once. They have threads of their own.
CALLS: Final = 8
#: Time for which another request waits until it is refused with 503.
WAIT_S: Final = 2.0


class Bulkhead:
    """Runs calls of the bucket in threads."""

    def __init__(self) -> None:
        self._free = Semaphore(CALLS)
        self._threads = CapacityLimiter(CALLS)

    async def run(self, call: Callable[[], T]) -> T:
        """Return the result of a call.

        Raises:
            BusyError: too many calls are in progress.
        """
        try:
            with anyio.fail_after(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise BusyError from None
        try:
            return await anyio.to_thread.run_sync(call, limiter=self._threads)
        finally:
            self._free.release()
