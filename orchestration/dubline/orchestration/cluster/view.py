"""What the loop sees of a pool at one time, and why it must not be made smaller now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.orchestration.scaling.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dubline.orchestration.cluster.objects import Deployment, Pod
    from dubline.orchestration.demand import Demand
    from dubline.orchestration.domain.workers import RunningJob


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A pool at one time."""

    deployment: Deployment
    pods: tuple[Pod, ...]
    """Those that the controllers count: none that is being removed or has ended."""
    running: Mapping[str, RunningJob]
    """Jobs by pod, also of pods that are being removed."""
    observation: Observation

    @property
    def unready(self) -> int:
        """Pods that the controllers remove first, and those that do not exist yet."""
        return max(self.deployment.replicas, len(self.pods)) - sum(pod.ready for pod in self.pods)

    @property
    def troubles(self) -> dict[str, int]:
        """How many pods are not ready for which reason that the cluster names; pods that cannot be created as well."""
        reasons = [pod.trouble for pod in self.pods if pod.trouble and not pod.ready]
        missing = max(0, self.deployment.replicas - len(self.pods))
        if self.deployment.refused and missing:
            reasons += [self.deployment.refused.partition(":")[0]] * missing
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}

    @property
    def keeps(self) -> str:
        """Why the pool must not be made smaller now; empty if it may be."""
        if self.deployment.rolling:
            return "rollout"
        if len(self.pods) > self.deployment.replicas:
            return "removal_unfinished"
        if any(not pod.ready and pod.name in self.running for pod in self.pods):
            # The controllers would remove it first, whatever its cost.
            return "busy_pod_not_ready"
        return ""


@dataclass(slots=True)
class Absences:
    """How long pods that were requested have not existed; the API does not say when the number was changed."""

    since_s: tuple[float, ...] = ()
    """For each of them, when it was first missed."""

    def ages_s(self, missing: int, at_s: float) -> tuple[float, ...]:
        """Record how many are missing now; return for how many seconds each has been."""
        kept = self.since_s[:missing]
        self.since_s = kept + (at_s,) * (missing - len(kept))
        return tuple(at_s - since_s for since_s in self.since_s)


def view(  # noqa: PLR0913 - everything that is known about a pool
    deployment: Deployment,
    found: Sequence[Pod],
    running: Sequence[RunningJob],
    demand: Demand,
    absences: Absences,
    *,
    at_s: float,
    now: datetime,
) -> View:
    """Put together what was read about a pool.

    Args:
        deployment: its Deployment.
        found: the pods of its selector.
        running: what all workers are rendering, read after the pods.
        demand: the work of the pool.
        absences: of the pool; changed.
        at_s: time of a clock that never goes back.
        now: time of day, for the ages of pods.
    """
    pods = tuple(pod for pod in found if not pod.going)
    names = {pod.name for pod in found}
    own = [job for job in running if job.host in names]
    by_pod = {job.host: job for job in own}
    busy = [pod for pod in pods if pod.name in by_pod]
    starting = [
        math.inf if pod.hopeless else max(0.0, (now - pod.created_at).total_seconds())
        for pod in pods
        if not pod.ready and pod.name not in by_pod
    ]
    missing_s = absences.ages_s(max(0, deployment.replicas - len(pods)), at_s)
    observation = Observation(
        at_s=at_s,
        requested=deployment.replicas,
        idle=sum(pod.ready for pod in pods) - sum(pod.ready for pod in busy),
        busy=len(busy),
        starting_ages_s=(*starting, *([math.inf] * len(missing_s) if deployment.refused else missing_s)),
        waiting=demand.waiting,
        running=len(own),
        backlog_s=demand.backlog_s,
    )
    return View(deployment=deployment, pods=pods, running=by_pod, observation=observation)
