"""Deletion costs: which pods the ReplicaSet controller removes first.

The controller removes pods that are not ready first, then ready ones by cost, the lowest first. Pods without a cost
have 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dubline.orchestration.cluster.objects import Pod
    from dubline.orchestration.domain.workers import RunningJob

#: An idle pod that leaves now. Its worker claims nothing more.
LEAVING: Final = -2
#: Any other idle pod. A pod without a cost, which may have claimed meanwhile, has more.
IDLE: Final = -1
#: Pods of which the cost is corrected before one change of the scale, beside those that must be.
CORRECTED: Final = 100


def chosen(pods: Sequence[Pod], running: Mapping[str, RunningJob], count: int) -> list[Pod]:
    """Choose the idle pods that leave: the youngest, because the oldest have run longest without trouble."""
    idle = [pod for pod in pods if pod.ready and pod.name not in running]
    return sorted(idle, key=lambda pod: (pod.created_at, pod.name), reverse=True)[:count]


def cost(pod: Pod, running: Mapping[str, RunningJob], leaving: Collection[str]) -> int:
    """Return the deletion cost of a pod. A busy one has that of the seconds of work that would be lost.

    It is rounded up to a power of two, so that a long job changes it a few times and not in each pass.
    """
    if pod.name in leaving:
        return LEAVING
    job = running.get(pod.name)
    return IDLE if job is None else 1 << int(job.unsaved_s).bit_length()


def changes(pods: Sequence[Pod], running: Mapping[str, RunningJob], leaving: Collection[str]) -> list[tuple[str, int]]:
    """List the costs to write, in order: pods that stay come before those that leave.

    Pods that stay although they have the cost of one that leaves are all corrected; of others the first `CORRECTED`.
    """
    wanted = {pod.name: cost(pod, running, leaving) for pod in pods}
    different = [pod for pod in pods if pod.cost != wanted[pod.name]]
    going = [pod.name for pod in different if pod.name in leaving]
    needed = [pod.name for pod in different if pod.name not in leaving and pod.cost <= LEAVING]
    others = [pod.name for pod in different if pod.name not in leaving and pod.cost > LEAVING]
    others.sort(key=lambda name: (name not in running, name))
    return [(name, wanted[name]) for name in (*needed, *others[:CORRECTED], *going)]
