"""The work of each pool: what its workers run, and its share of what waits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.scaling.pools import divide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dubline.orchestration.domain.backlog import Backlog
    from dubline.orchestration.scaling.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The waiting work of one pool."""

    waiting: int
    """Claimable jobs."""
    device_s: float
    """Predicted device seconds of them."""


def demands(backlog: Backlog, policies: Sequence[Policy], blocked: frozenset[str]) -> Mapping[str, Demand]:
    """Divide the claimable jobs between the pools, by price.

    Args:
        backlog: what waits, by preset.
        policies: of all pools.
        blocked: names of the pools whose workers do not become ready at present.
    """
    claimable = [one for one in backlog.jobs if one.waiting is Waiting.CLAIMABLE]
    device_s = {(pool.pool, one.preset): one.device_s for pool in policies for one in claimable}
    shares = divide(device_s, policies, blocked)
    found = {}
    for pool in policies:
        parts = [(shares.get((pool.pool, one.preset), 0.0), one) for one in claimable]
        found[pool.pool] = Demand(
            waiting=sum(math.ceil(share * one.jobs) for share, one in parts),
            device_s=sum(share * one.device_s for share, one in parts),
        )
    return found
