"""Long polls: a response is delayed until there is something new, or until the caller's time is over."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from fastapi import Query
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

T = TypeVar("T")

WAIT_MAX_S: Final = 30
#: Requests that wait at once in one process; a further one is answered immediately.
WAITING_MAX: Final = 200
#: Seconds between two looks at the database; they grow while nothing happens.
_FIRST_S: Final = 0.2
_LONGEST_S: Final = 2.0
_GROWTH: Final = 1.5

WaitS = Annotated[
    float,
    Query(
        ge=0,
        le=WAIT_MAX_S,
        allow_inf_nan=False,
        description="Seconds to wait for the change that is described above. The response may come earlier without it.",
    ),
]

_waiting: set[object] = set()


async def until(request: Request, wait_s: float, read: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Read until a condition holds, the time is over or the caller is gone; return what was read last.

    Waiting occupies neither a thread nor a connection of the database.

    Args:
        request: the request, to notice that its caller is gone.
        wait_s: seconds to wait, 0 to `WAIT_MAX_S`.
        read: reads the value; run in a thread.
        done: the condition.
    """
    ends_s, pause_s = time.monotonic() + wait_s, _FIRST_S
    value = await run_in_threadpool(read)
    if wait_s == 0 or done(value) or len(_waiting) >= WAITING_MAX:
        return value
    _waiting.add(request)
    try:
        while (left_s := ends_s - time.monotonic()) > 0 and not await request.is_disconnected():
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * _GROWTH, _LONGEST_S)
            value = await run_in_threadpool(read)
            if done(value):
                break
        return value
    finally:
        _waiting.discard(request)
