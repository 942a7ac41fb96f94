"""A thread pool for blocking calls of one client."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dubline.client.client import Client

_THREADS: Final = 8
P = ParamSpec("P")
T = TypeVar("T")


class ThreadPool:
    """Runs calls of one client in parallel; on an exception in the block, waiting calls are stopped."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(_THREADS)

    def start(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a call to the pool."""
        return self._pool.submit(call, *args, **kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._client.stop_waiting()
        self._pool.shutdown(cancel_futures=kind is not None)
