"""Deployments and pods of a cluster, reduced to what the loop needs. Pure: it reads dictionaries of the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The annotation from which the ReplicaSet controller takes the order in which it removes ready pods.
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
#: A container that waits for one of these reasons does not start unless an operator changes something.
NEVER_STARTS: Final = frozenset(
    {
        "CreateContainerConfigError",
        "ErrImageNeverPull",
        "ImagePullBackOff",
        "ImageInspectError",
        "InvalidImageName",
        "RunContainerError",
    }
)
#: A container that ends again and again counts as one that does not start, from so many restarts on.
CRASHES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A Deployment at one time."""

    name: str
    version: str
    """Its resourceVersion, which its scale has too."""
    replicas: int
    """Pods that it is asked for."""
    selector: str
    """Label selector of its pods."""
    rolling: bool
    """Whether pods of several versions exist, so that the controllers choose for themselves which ones they remove."""
    refused: str
    """Why pods cannot be created, such as a quota; empty if they can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod at one time."""

    name: str
    created_at: datetime
    ready: bool
    going: bool
    """Whether it is being removed or has ended. The controllers do not count such a pod."""
    trouble: str
    """Why it is not ready, as the cluster says; empty if it says nothing."""
    hopeless: bool
    """Whether it will not become ready by itself."""
    cost: int
    """Its deletion cost."""


def deployment_of(found: Mapping[str, Any]) -> Deployment:
    """Read a Deployment.

    Args:
        found: the object as JSON.
    """
    spec, status, metadata = found["spec"], found.get("status") or {}, found["metadata"]
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    failure = conditions.get("ReplicaFailure") or {}
    unseen = status.get("observedGeneration", 0) < metadata.get("generation", 0)
    return Deployment(
        name=metadata["name"],
        version=metadata["resourceVersion"],
        replicas=spec.get("replicas") or 0,
        selector=_selector(spec["selector"]),
        rolling=unseen or (status.get("updatedReplicas") or 0) < (status.get("replicas") or 0),
        refused=f"{failure.get('reason', '')}: {failure.get('message', '')}" if _holds(failure) else "",
    )


def pod_of(found: Mapping[str, Any]) -> Pod:
    """Read a pod.

    Args:
        found: the object as JSON.
    """
    metadata, status = found["metadata"], found.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting = [(one, (one.get("state") or {}).get("waiting") or {}) for one in containers]
    hopeless = [reason["reason"] for one, reason in waiting if _is_hopeless(one, reason.get("reason", ""))]
    scheduled = conditions.get("PodScheduled") or {}
    trouble = [*hopeless, *(reason["reason"] for _, reason in waiting if reason.get("reason"))]
    if scheduled.get("status") == "False" and scheduled.get("reason"):
        trouble.append(scheduled["reason"])
    ended = status.get("phase") in {"Failed", "Succeeded"}
    return Pod(
        name=metadata["name"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        ready=_holds(conditions.get("Ready") or {}),
        going=bool(metadata.get("deletionTimestamp")) or ended,
        trouble=trouble[0] if trouble else "",
        hopeless=bool(hopeless),
        cost=_cost((metadata.get("annotations") or {}).get(DELETION_COST, "0")),
    )


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == "True"


def _is_hopeless(container: Mapping[str, Any], reason: str) -> bool:
    return reason in NEVER_STARTS or (reason == "CrashLoopBackOff" and container.get("restartCount", 0) >= CRASHES)


def _cost(text: str) -> int:
    # The controller takes a cost that is no number as 0.
    try:
        return int(text)
    except ValueError:
        return 0


def _selector(found: Mapping[str, Any]) -> str:
    """Return a label selector in the form of a query."""
    parts = [f"{name}={value}" for name, value in sorted((found.get("matchLabels") or {}).items())]
    for one in found.get("matchExpressions") or ():
        key, operator, values = one["key"], one["operator"], ",".join(one.get("values") or ())
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(forms.get(operator, f"!{key}"))
    return ",".join(parts)
