"""The policies that are compared, each with the settings that it may be given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from dubline.orchestration.scaling.policy import Basis, Policy
from dubline.orchestration.scaling.simulation.horizontal import Keda, Utilization, outstanding, waiting
from dubline.orchestration.scaling.simulation.own import Own

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.scaling.simulation.cluster import Controller
    from dubline.orchestration.scaling.simulation.conditions import Conditions


#: How settings are shown.
SECONDS: Final = "target {:.0f} s"
JOBS: Final = "{:.0f} per worker"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One policy and the values of its one setting."""

    name: str
    setting: str
    """How a value is shown, a format string."""
    values: tuple[float, ...]
    build: Callable[[float], Controller]
    """Make a controller with a value of the setting."""

    def shown(self, value: float) -> str:
        """Show a value with its unit."""
        return self.setting.format(value)


def candidates(conditions: Conditions) -> tuple[Candidate, ...]:
    """Return the policies; the first is the default one of the service."""
    shares = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
    counts = (1.0, 2.0, 5.0, 8.0, 10.0, 12.0, 15.0, 20.0, 40.0)
    ceiling = conditions.ceiling
    policy = Policy(
        pool="simulated",
        ceiling=ceiling,
        cold_start_s=conditions.cold_start_s,
        cooldown_s=conditions.cold_start_s,
        start_limit_s=conditions.start_limit_s,
    )
    depth = replace(policy, basis=Basis.DEPTH)
    targets_s = tuple(share * conditions.wait_target_s for share in shares)
    busy = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    return (
        Candidate("backlog seconds", SECONDS, targets_s, lambda value: Own(replace(policy, target_s=value))),
        Candidate("queue depth", JOBS, counts, lambda value: Own(replace(depth, jobs_per_worker=int(value)))),
        Candidate("KEDA, Redis list", JOBS, counts, partial(Keda, ceiling, waiting)),
        Candidate("KEDA, outstanding", JOBS, counts, partial(Keda, ceiling, outstanding)),
        Candidate("KEDA, backlog seconds", SECONDS, targets_s, partial(Keda, ceiling, attrgetter("backlog_s"))),
        Candidate("HPA, GPU use", "{:.0%} busy", busy, partial(Utilization, ceiling)),
    )
