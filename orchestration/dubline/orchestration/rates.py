"""Counting of requests by tenant: in valkey for all API processes, and in this process while valkey is unavailable."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dubline.orchestration.domain.rates import Counted, burst, count

if TYPE_CHECKING:
    from collections.abc import Callable

#: Time after which a request is counted in this process, because valkey does not respond.
TIMEOUT_S: Final = 0.2
#: Time for which valkey is not asked after an error.
PAUSE_S: Final = 5.0
#: Tenants that one process counts; the one that sent a request least recently is removed first.
MOST_TENANTS: Final = 10_000

#: `domain.rates.count` with the clock of the server. The value is the time at which the bucket is full again.
_COUNT: Final = """
local per_s, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local room = burst - (full_at - now) * per_s
local allowed = room >= 1
if allowed then
    full_at = full_at + 1 / per_s
    room = room - 1
    redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000) + 1000)
end
return {allowed and 1 or 0, string.format('%.6f', room), string.format('%.6f', full_at - now)}
"""

_log = structlog.get_logger(__name__)


class Rates:
    """The buckets of all tenants. It is used from one event loop."""

    def __init__(self, url: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """Create the client of valkey without connecting.

        Args:
            url: `redis://host:port/number`; empty: each process counts for itself.
            clock: the time in seconds.
        """
        self._clock = clock
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        self._ask_from_s = 0.0
        self._server = None
        if url:
            self._server = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)

    async def count(self, tenant: str, per_s: float) -> Counted:
        """Count a request of a tenant that may send `per_s` requests in a second."""
        if self._server is not None and self._clock() >= self._ask_from_s:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await _ask(self._server, tenant, per_s)
            except (RedisError, OSError, TimeoutError) as error:
                self._ask_from_s = self._clock() + PAUSE_S
                _log.warning("rates_counted_locally", reason=repr(error), pause_s=PAUSE_S)
        return self._count_locally(tenant, per_s)

    async def close(self) -> None:
        """Close the connections."""
        if self._server is not None:
            await self._server.aclose()

    def _count_locally(self, tenant: str, per_s: float) -> Counted:
        self._full_at_s[tenant], counted = count(self._full_at_s.pop(tenant, 0.0), self._clock(), per_s)
        if len(self._full_at_s) > MOST_TENANTS:
            self._full_at_s.popitem(last=False)
        return counted


async def _ask(server: Redis, tenant: str, per_s: float) -> Counted:
    answer = await server.eval(_COUNT, 1, f"dubline:rate:{tenant}", str(per_s), str(burst(per_s)))
    allowed, room, full_s = bool(answer[0]), float(answer[1]), float(answer[2])
    wait_s = 0.0 if allowed else max(0.0, (1 - room) / per_s)
    return Counted(allowed=allowed, remaining=max(0, int(room)), full_s=full_s, wait_s=wait_s)
