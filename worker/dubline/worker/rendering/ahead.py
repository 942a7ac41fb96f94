"""Batches that threads compute ahead of their use: in order, and a bounded number of them."""

from __future__ import annotations

import time
from collections import deque
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self, TypeVar

from dubline.worker.rendering import device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

Result = TypeVar("Result")

#: Longest time between two reports while waiting.
REPORT_S: Final = 0.5
#: A wait longer than this is no longer reported, so that the heartbeat finds a call that never returns.
REPORTED_S: Final = 120.0


class Ahead:
    """Threads that compute batches while earlier ones are composed and encoded. They end with the `with` block.

    Args:
        threads: their number. One more batch waits for a thread, so that none is idle.
        report: called at least every `REPORT_S` while waiting; may raise to stop.
    """

    def __init__(self, threads: int, report: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, "compute", device.use_one_thread)
        self._most = threads + 1
        self._report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, call: Callable[[], Result]) -> Callable[[], Result]:
        """Begin a call; return a function that waits for its result, or for its error."""
        future = self._pool.submit(call)
        return lambda: result(future, self._report)

    def results(self, calls: Iterable[Callable[[], Result]]) -> Iterator[Result]:
        """Yield the result of each call, in order, and raise the error of the first one that fails.

        Args:
            calls: read by this thread, only as far ahead as there is room.
        """
        waiting: deque[Future[Result]] = deque()
        for call in calls:
            waiting.append(self._pool.submit(call))
            if len(waiting) > self._most:
                yield result(waiting.popleft(), self._report)
        while waiting:
            yield result(waiting.popleft(), self._report)


def result(future: Future[Result], report: Callable[[], None]) -> Result:
    """Wait for the result of a call, or for its error.

    Args:
        future: of the call.
        report: called at least every `REPORT_S` for `REPORTED_S`; may raise to stop.
    """
    until = time.monotonic() + REPORTED_S
    while time.monotonic() < until and not futures.wait([future], REPORT_S).done:
        report()
    return future.result()
