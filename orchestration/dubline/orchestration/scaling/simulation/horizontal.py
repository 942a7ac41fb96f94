"""The HorizontalPodAutoscaler of Kubernetes, and KEDA, which drives it from zero.

The rules are those of the controllers with their defaults: a period of 15 s, a tolerance of 10 %, at most twice as
many pods or four more at a time, and the highest recommendation of the last 300 s before pods are removed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.scaling.simulation.cluster import Cluster

SYNC_S: Final = 15.0
TOLERANCE: Final = 0.1
#: Window in which the highest recommendation counts before pods are removed.
STABILIZATION_S: Final = 300.0
STEP_PODS: Final = 4
#: KEDA scales to zero after so many seconds without work.
KEDA_COOLDOWN_S: Final = 300.0


class Horizontal:
    """The common part: stabilization, steps and limits."""

    period_s = SYNC_S
    idle_only = False

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._recommended: list[tuple[float, int]] = []

    def _bounded(self, cluster: Cluster, recommended: int) -> int:
        current = cluster.requested
        since_s = cluster.at_s - STABILIZATION_S
        # Only recommendations above all later ones can be the highest.
        kept = [one for one in self._recommended if one[1] > recommended and one[0] > since_s]
        self._recommended = [*kept, (cluster.at_s, recommended)]
        stable = max(recommended, min(current, self._recommended[0][1]))
        most = max(2 * current, current + STEP_PODS)
        return max(1, min(stable, most, self._ceiling))


class Keda(Horizontal):
    """KEDA with a number such as that of the waiting jobs: `ceil(number / target)`, and zero after a time without."""

    def __init__(self, ceiling: int, number: Callable[[Cluster], float], target: float) -> None:
        super().__init__(ceiling)
        self._number = number
        self._target = target
        self._active_s = -math.inf

    def workers(self, cluster: Cluster) -> int:
        """Return the replicas that KEDA and its HorizontalPodAutoscaler request."""
        number, current = self._number(cluster), cluster.requested
        if number > 0:
            self._active_s = cluster.at_s
        if current == 0:
            return 1 if number > 0 else 0
        if number == 0 and cluster.at_s - self._active_s >= KEDA_COOLDOWN_S:
            return 0
        ratio = number / (self._target * current)
        recommended = current if abs(ratio - 1.0) <= TOLERANCE else math.ceil(number / self._target)
        return self._bounded(cluster, recommended)


class Utilization(Horizontal):
    """A HorizontalPodAutoscaler on the mean use of the pods' devices. It keeps at least one pod."""

    def __init__(self, ceiling: int, target: float) -> None:
        super().__init__(ceiling)
        self._target = target

    def workers(self, cluster: Cluster) -> int:
        """Return the replicas. A busy device is used to 100 %."""
        return self._bounded(cluster, self._recommend(cluster))

    def _recommend(self, cluster: Cluster) -> int:
        current, busy, ready = cluster.requested, len(cluster.busy), len(cluster.idle) + len(cluster.busy)
        if not ready:
            # No pod has the metric.
            return max(current, 1)
        ratio = busy / ready / self._target
        if ratio <= 1.0 or not cluster.starting:
            return current if abs(ratio - 1.0) <= TOLERANCE else math.ceil(ratio * ready)
        # Before pods are added, those that are not ready count as unused.
        all_pods = ready + len(cluster.starting)
        damped = busy / all_pods / self._target
        if damped < 1.0 or abs(damped - 1.0) <= TOLERANCE:
            return current
        return max(math.ceil(damped * all_pods), current)


def waiting(cluster: Cluster) -> int:
    """Count what a list in Redis shows: the jobs that no worker has."""
    return len(cluster.waiting)


def outstanding(cluster: Cluster) -> int:
    """Count the jobs that are not final."""
    return len(cluster.waiting) + len(cluster.busy)
