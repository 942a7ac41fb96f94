"""The project's own policies: the very `decide` of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.orchestration.scaling.decision import decide
from dubline.orchestration.scaling.observation import Observation
from dubline.orchestration.scaling.state import State

if TYPE_CHECKING:
    from dubline.orchestration.scaling.policy import Policy
    from dubline.orchestration.scaling.simulation.cluster import Cluster

PERIOD_S: Final = 30.0


class Own:
    """Calls `decide` with what it sees of the cluster."""

    period_s = PERIOD_S
    idle_only = True

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._state = State()

    def workers(self, cluster: Cluster) -> int:
        """Return the decided count."""
        at_s = cluster.at_s
        observation = Observation(
            at_s=at_s,
            requested=cluster.requested,
            idle=len(cluster.idle),
            busy=len(cluster.busy),
            starting_ages_s=tuple([at_s - worker.requested_s for worker in cluster.starting]),
            waiting=len(cluster.waiting),
            running=len(cluster.busy),
            backlog_s=cluster.backlog_s,
        )
        decision = decide(observation, self._policy, self._state)
        self._state = decision.state
        return decision.workers
