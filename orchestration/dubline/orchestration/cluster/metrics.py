"""Metrics of the loop. The label `pool` has the values of the setting."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

from dubline.orchestration.scaling.decision import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dubline.orchestration.scaling.decision import Decision

WORKERS: Final = Gauge("dubline_scaling_workers", "Workers of a pool, as the loop sees them.", ["pool", "state"])
WANTED: Final = Gauge("dubline_scaling_wanted_workers", "Workers that the work of a pool needs.", ["pool"])
BACKLOG: Final = Gauge("dubline_scaling_backlog_seconds", "Predicted device time of the work of a pool.", ["pool"])
DECISIONS: Final = Counter("dubline_scaling_decisions", "Decisions about a pool.", ["pool", "reason"])
HELD: Final = Counter("dubline_scaling_held", "Decisions that were not carried out.", ["pool", "cause"])
CONFLICTS: Final = Counter("dubline_scaling_conflicts", "Changes of the scale that were sent again.", ["pool"])

_STATES: Final = ("requested", "idle", "busy", "starting", "stuck")


def begin_counts(pools: Iterable[str]) -> None:
    """Publish the counts of decisions as 0, so that the first failed start is an increase.

    Args:
        pools: names of the pools.
    """
    for pool, reason in product(pools, Reason):
        DECISIONS.labels(pool, reason)


def show(pool: str, decision: Decision) -> None:
    """Set the gauges of a pool to the numbers of a decision."""
    observation = decision.observation
    numbers = {
        "requested": observation.requested,
        "idle": observation.idle or 0,
        "busy": observation.busy or 0,
        "starting": len(observation.starting_ages_s or ()) - decision.stuck,
        "stuck": decision.stuck,
    }
    for state in _STATES:
        WORKERS.labels(pool, state).set(numbers[state])
    WANTED.labels(pool).set(decision.wanted or 0)
    BACKLOG.labels(pool).set(observation.backlog_s or 0.0)
    DECISIONS.labels(pool, decision.reason).inc()


def hide(pool: str) -> None:
    """Remove the gauges of a pool about which nothing is known now: an old number is worse than none."""
    for state in _STATES:
        WORKERS.remove(pool, state)
    WANTED.remove(pool)
    BACKLOG.remove(pool)
