"""Long polls: a response is delayed until there is something new, or until the caller's time is over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from fastapi import Query
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

T = TypeVar("T")

WAIT_MAX_S: Final = 30
#: Requests that wait at once in one process, of all tenants and of one; a further one is answered immediately.
WAITING_MAX: Final = 200
WAITING_MAX_OF_TENANT: Final = 50
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

_waiting: Final[Counter[str]] = Counter()


async def until(request: Request, wait_s: float, read: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Read until a condition holds, the time is over or the caller is gone; return what was read last.

    Waiting occupies neither a thread nor a connection of the database, nor one of the requests of a tenant that are
    processed at once.

    Args:
        request: the request, to notice that its caller is gone.
        wait_s: seconds to wait, 0 to `WAIT_MAX_S`.
        read: reads the value; run in a thread.
        done: the condition.
    """
    ends_s, delay_s = time.monotonic() + wait_s, _FIRST_S
    tenant: str = request.state.tenant
    value = await run_in_threadpool(read)
    full = _waiting.total() >= WAITING_MAX or _waiting[tenant] >= WAITING_MAX_OF_TENANT
    if wait_s == 0 or done(value) or full:
        return value
    _waiting[tenant] += 1
    try:
        while (left_s := ends_s - time.monotonic()) > 0 and not await request.is_disconnected():
            async with request.state.slot.handed_over():
                await asyncio.sleep(min(delay_s, left_s))
            delay_s = min(delay_s * _GROWTH, _LONGEST_S)
            value = await run_in_threadpool(read)
            if done(value):
                break
        return value
    finally:
        _waiting[tenant] -= 1
        if not _waiting[tenant]:
            del _waiting[tenant]
