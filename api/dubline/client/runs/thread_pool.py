"""A thread pool for blocking calls of one client, which does not keep the process from ending."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dubline.client.client import Client

_THREADS: Final = 8
#: Seconds in which threads may end after an exception. A call that waits for a silent server ends with the process.
_JOIN_S: Final = 0.2
P = ParamSpec("P")
T = TypeVar("T")


class ThreadPool:
    """Runs calls of one client in parallel; on an exception in the block, waiting calls are stopped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # The threads of the standard library's pool are joined when the process ends, however long a call takes.
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(_THREADS)]

    def start(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a call to the pool."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised again where the result is read
                future.set_exception(error)

        self._waiting.put(run)
        return future

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._client.stop_waiting()
            # The threads take calls meanwhile, so that the queue may be empty at any time.
            with suppress(Empty):
                while True:
                    self._waiting.get_nowait()
        for _ in self._threads:
            self._waiting.put(None)
        ends_s = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, ends_s - time.monotonic()) if kind else None)

    def _work(self) -> None:
        while run := self._waiting.get():
            run()
