"""The work of each pool: what its workers run, and its share of what waits.

The loop that scales workers, `GET /v1/scaling/{pool}` and the metrics of the maintenance process all take their numbers
from here, so they are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.options.render import PRESETS
from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.domain.pools import DEFAULT_POOL
from dubline.orchestration.scaling.policy import Policy
from dubline.orchestration.scaling.pools import divide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dubline.orchestration.domain.workload import Predicted, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The work of one pool, by place and preset."""

    times: Mapping[tuple[Waiting, str], Predicted]

    @property
    def waiting(self) -> int:
        """Claimable jobs."""
        return sum(math.ceil(one.jobs) for one in self._of(Waiting.CLAIMABLE))

    @property
    def running(self) -> int:
        """Jobs that the pool's workers have claimed."""
        return sum(math.ceil(one.jobs) for one in self._of(Waiting.RUNNING))

    @property
    def waiting_s(self) -> float:
        """Predicted device seconds of the claimable jobs."""
        return sum(one.device_s for one in self._of(Waiting.CLAIMABLE))

    @property
    def running_s(self) -> float:
        """Predicted device seconds of what is left of the running jobs."""
        return sum(one.device_s for one in self._of(Waiting.RUNNING))

    @property
    def backlog_s(self) -> float:
        """Predicted device seconds of the claimable jobs and of what is left of the running ones."""
        return self.waiting_s + self.running_s

    @property
    def error_s(self) -> float:
        """Standard error of `backlog_s`."""
        return math.hypot(*(one.error_s for one in self._of(Waiting.CLAIMABLE, Waiting.RUNNING)))

    def _of(self, *places: Waiting) -> Iterator[Predicted]:
        return (one for (place, _), one in self.times.items() if place in places)


def demands(
    workload: Workload, policies: Sequence[Policy] = (), blocked: frozenset[str] = frozenset()
) -> dict[str, Demand]:
    """Divide the waiting jobs between the pools, by price.

    Args:
        workload: what waits and runs.
        policies: of all pools; without any, each pool with live workers and the default one render every preset.
        blocked: names of the pools whose workers do not become ready at present.

    Returns:
        The demand of each of these pools, and of every other pool with live workers or running jobs, which gets none of
        what waits.
    """
    seen = {*workload.workers, *(one.pool for one in workload.work if one.pool is not None)}
    policies = policies or [_unlimited(pool) for pool in sorted({*seen, DEFAULT_POOL})]
    due = {pool.pool: workload.times(pool.pool, Waiting.CLAIMABLE) for pool in policies}
    device_s = {(pool, preset): one.device_s for pool, presets in due.items() for preset, one in presets.items()}
    shares = divide(device_s, policies, blocked)
    found: dict[str, Demand] = {}
    for pool in sorted({*due, *seen}):
        running = workload.times(pool, Waiting.RUNNING)
        times = {(Waiting.RUNNING, preset): one for preset, one in running.items()}
        for preset, one in due.get(pool, {}).items():
            times[Waiting.CLAIMABLE, preset] = one * shares.get((pool, preset), 0.0)
        found[pool] = Demand(times=times)
    return found


def _unlimited(pool: str) -> Policy:
    return Policy(
        pool=pool,
        presets=frozenset(PRESETS),
        price_per_hour=1.0,
        ceiling=1_000_000,
        cold_start_s=0.0,
        cooldown_s=0.0,
        start_limit_s=1.0,
    )
