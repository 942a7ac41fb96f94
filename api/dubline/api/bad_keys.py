"""The limit on unknown API keys from one address."""

from __future__ import annotations

import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Unknown keys that one address may send at once.
BURST: Final = 20
#: Seconds after which it may send one more.
REFILL_S: Final = 5.0
#: Addresses that one process counts; the one that sent an unknown key least recently is removed first.
MOST_ADDRESSES: Final = 10_000
#: Hosts of one IPv6 network share a limit, because a host may choose its address in it.
IPV6_PREFIX: Final = 64


class BadKeys:
    """Counts unknown keys by address. It is used from the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The time at which an address has its whole burst again.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def blocks(self, address: str) -> bool:
        """Return whether the address has sent too many unknown keys."""
        return self._full_at_s.get(_network(address), 0.0) - self._clock() > (BURST - 1) * REFILL_S

    def count(self, address: str) -> None:
        """Count an unknown key."""
        network = _network(address)
        now_s = self._clock()
        self._full_at_s[network] = max(now_s, self._full_at_s.pop(network, 0.0)) + REFILL_S
        if len(self._full_at_s) > MOST_ADDRESSES:
            self._full_at_s.popitem(last=False)


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, IPV6_PREFIX), strict=False)) if isinstance(found, IPv6Address) else address
