"""One pass over all pools: observe, decide, record, and then change the cluster.

Nothing is changed on doubt. If the database does not respond, no pool is; if the cluster does not respond about a pool,
that pool is not.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

import structlog

from dubline.orchestration.cluster import costs, metrics
from dubline.orchestration.cluster.errors import ClusterError, ClusterUnavailableError
from dubline.orchestration.cluster.view import Absences, View, view
from dubline.orchestration.demand import demands
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.events import EventKind
from dubline.orchestration.scaling.decision import Decision, decide
from dubline.orchestration.scaling.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from dubline.orchestration.cluster.api import Cluster
    from dubline.orchestration.cluster.objects import Deployment, Pod
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.scaling.policy import Policy
    from dubline.orchestration.scaling.pool import PoolSettings

#: Time for which a worker that is to leave claims nothing: longer than from the mark until its pod is told to stop.
LEAVE_S: Final = 60.0
#: Longest time without calls that the API can ask for.
LONGEST_PAUSE_S: Final = 60.0
#: Namespace of the ids of pools in events, which are derived from their names.
POOLS: Final = UUID("7c9a3d1e-52f4-4b8e-9d06-0c5f8a1b2e47")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Memory:
    """What is kept about a pool between two passes. A loop that starts anew begins without it."""

    state: State = field(default_factory=State)
    absences: Absences = field(default_factory=Absences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What became of one pool in one pass."""

    pool: str
    decision: Decision | None
    """None: the pool could not be observed."""
    workers: int | None
    """Pods that the Deployment is asked for afterwards; None if it is not known."""
    held: str = ""
    """Why the decision was not carried out, or only in part."""


class Scaler:
    """The loop's state and its pass. A pass happens in one thread of one process at a time."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        pools: Sequence[PoolSettings],
        *,
        dry_run: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Prepare the passes.

        Args:
            store: the rows.
            cluster: the Deployments.
            pools: the pools; each has one Deployment.
            dry_run: observe, decide and log only.
            clock: seconds; never goes back.
        """
        self._store, self._cluster, self._clock = store, cluster, clock
        self._deployments = {pool.name: pool.deployment for pool in pools}
        self._policies = {pool.name: pool.policy() for pool in pools}
        self._memories = {pool.name: _Memory() for pool in pools}
        metrics.begin_counts(self._policies)
        self._dry_run = dry_run
        self._resume_at_s = float("-inf")

    @contextmanager
    def memory(self) -> Iterator[None]:
        """Begin without a memory of earlier passes, since which another process may have made some.

        At the end the gauges are removed, because that process publishes its own.
        """
        self._memories = {pool: _Memory() for pool in self._policies}
        self._resume_at_s = float("-inf")
        try:
            yield
        finally:
            for pool in self._policies:
                metrics.hide(pool)

    def run(self) -> list[Pass]:
        """Make one pass over all pools.

        Raises:
            DatabaseUnavailableError: nothing was changed since it stopped responding.
        """
        if self._clock() < self._resume_at_s:
            return [self._hold(pool, "cluster_unavailable") for pool in self._policies]
        read: dict[str, tuple[Deployment, Sequence[Pod]] | str] = {pool: self._read(pool) for pool in self._policies}
        try:
            # After the pods: a pod without a job in this list had none when the pods were listed, or has finished it.
            running = self._store.workers.running()
            blocked = frozenset(
                pool for pool, memory in self._memories.items() if self._clock() < memory.state.resume_at_s
            )
            found = demands(self._store.predictions.workload(), list(self._policies.values()), blocked)
        except DatabaseUnavailableError:
            for pool in self._policies:
                self._hold(pool, "database_unavailable", record=False)
            raise
        results = []
        for pool, policy in self._policies.items():
            seen = read[pool]
            if isinstance(seen, str):
                results.append(self._hold(pool, seen))
                continue
            at_s, now = self._clock(), datetime.now(UTC)
            one = view(*seen, running, found[pool], self._memories[pool].absences, at_s=at_s, now=now)
            results.append(self._scale(policy, one))
        return results

    def _read(self, pool: str) -> tuple[Deployment, Sequence[Pod]] | str:
        """Read a pool from the cluster; return the cause if that fails."""
        try:
            deployment = self._cluster.deployment(self._deployments[pool])
            return deployment, self._cluster.pods(deployment.selector)
        except ClusterError as error:
            return self._failed(pool, error)

    def _scale(self, policy: Policy, seen: View) -> Pass:
        """Decide about a pool and carry it out."""
        memory = self._memories[policy.pool]
        decision = decide(seen.observation, policy, memory.state)
        memory.state = decision.state
        metrics.show(policy.pool, decision)
        requested = seen.observation.requested
        fewer = decision.workers < requested
        held = seen.keeps if fewer else ""
        workers = requested if held else decision.workers
        leaving: Collection[str] = ()
        if workers < requested:
            chosen = costs.chosen(seen.pods, seen.running, max(0, requested - workers - seen.unready))
            names = [pod.name for pod in chosen]
            leaving = names if self._dry_run or not names else self._store.workers.leave(names, LEAVE_S)
            workers += len(names) - len(leaving)
            held = "claimed_meanwhile" if len(leaving) < len(names) else ""
        self._record(policy.pool, _numbers(policy.pool, decision, seen, workers, held), held)
        if workers != requested and not self._dry_run:
            failed = self._carry_out(policy.pool, seen, workers, leaving)
            if failed:
                return Pass(pool=policy.pool, decision=decision, workers=None, held=failed)
        return Pass(pool=policy.pool, decision=decision, workers=workers, held=held)

    def _carry_out(self, pool: str, seen: View, workers: int, leaving: Collection[str]) -> str:
        """Write the costs and the scale; return the cause if that fails."""
        try:
            if leaving:
                for name, cost in costs.changes(seen.pods, seen.running, leaving):
                    self._cluster.set_deletion_cost(name, cost)
            conflicts = self._cluster.scale(seen.deployment, workers)
        except ClusterError as error:
            if leaving and not isinstance(error, ClusterUnavailableError):
                # The scale is as it was. If that is not known, the marks end by themselves.
                self._store.workers.stay(leaving)
            metrics.HELD.labels(pool, error.cause).inc()
            return self._failed(pool, error)
        metrics.CONFLICTS.labels(pool).inc(conflicts)
        _log.info("pool_scaled", pool=pool, before=seen.observation.requested, workers=workers, leaving=sorted(leaving))
        return ""

    def _failed(self, pool: str, error: ClusterError) -> str:
        """Log a failed call; return its cause."""
        if isinstance(error, ClusterUnavailableError) and error.retry_after_s:
            self._resume_at_s = self._clock() + min(error.retry_after_s, LONGEST_PAUSE_S)
        _log.warning("cluster_call_failed", pool=pool, cause=error.cause, error=str(error))
        return error.cause

    def _hold(self, pool: str, cause: str, *, record: bool = True) -> Pass:
        """Keep a pool that could not be observed as it is."""
        metrics.hide(pool)
        if record:
            self._record(pool, {"pool": pool, "reason": "missing", "held": cause}, cause)
        else:
            _log.warning("pool_held", pool=pool, cause=cause)
            metrics.HELD.labels(pool, cause).inc()
        return Pass(pool=pool, decision=None, workers=None, held=cause)

    def _record(self, pool: str, numbers: Mapping[str, Any], held: str) -> None:
        """Log a decision, and insert its event. It is only carried out if this succeeds."""
        if held:
            metrics.HELD.labels(pool, held).inc()
        _log.info("pool_decided", dry_run=self._dry_run, **numbers)
        if not self._dry_run:
            self._store.events.append(EventKind.POOL_DECIDED, uuid5(POOLS, pool), numbers)


def _numbers(pool: str, decision: Decision, seen: View, workers: int, held: str) -> dict[str, Any]:
    """Return the numbers of a decision, for its event and the log."""
    observation = decision.observation
    return {
        "pool": pool,
        "workers": workers,
        "decided": decision.workers,
        "reason": decision.reason.value,
        "held": held,
        "wanted": decision.wanted,
        "requested": observation.requested,
        "idle": observation.idle,
        "busy": observation.busy,
        "starting": len(observation.starting_ages_s or ()) - decision.stuck,
        "stuck": decision.stuck,
        "waiting": observation.waiting,
        "running": observation.running,
        "backlog_s": round(observation.backlog_s or 0.0, 1),
        "missing": list(decision.missing),
        "troubles": seen.troubles,
    }
