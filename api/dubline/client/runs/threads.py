"""A few threads for calls that wait, which give up as soon as the work is left by an exception."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TYPE_CHECKING, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dubline.client.client import Client

_AT_ONCE: Final = 8
P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs calls of one client side by side."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def start(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a call made as soon as a thread is free."""
        return self._pool.submit(call, *args, **kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            self._client.stop_waiting()
        self._pool.shutdown(cancel_futures=kind is not None)
