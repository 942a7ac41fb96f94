"""Deployments and pods as the API describes them, and what the loop takes from them."""

from __future__ import annotations

from typing import Any

import pytest

from dubline.orchestration.cluster.objects import deployment_of, pod_of


def deployment(**more: Any) -> dict[str, Any]:
    metadata = {"name": "gpu", "resourceVersion": "7", "generation": 2}
    selector = {"matchLabels": {"b": "2", "a": "1"}}
    status = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3}
    return {
        "metadata": metadata,
        "spec": {"replicas": 3, "selector": selector} | more.pop("spec", {}),
        "status": status | more,
    }


def pod(**more: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "gpu-1", "creationTimestamp": "2026-01-31T12:00:00Z"}
    return {"metadata": metadata | more.pop("metadata", {}), "status": {"phase": "Pending"} | more}


def waiting(reason: str, restarts: int = 0) -> list[dict[str, Any]]:
    return [{"name": "worker", "restartCount": restarts, "state": {"waiting": {"reason": reason}}}]


def test_a_settled_deployment_is_not_rolling() -> None:
    found = deployment_of(deployment())
    assert (found.version, found.replicas, found.selector) == ("7", 3, "a=1,b=2")
    assert (found.rolling, found.refused) == (False, "")


@pytest.mark.parametrize("status", [{"observedGeneration": 1}, {"updatedReplicas": 2}, {"updatedReplicas": None}])
def test_a_rollout_in_progress_is_seen(status: dict[str, Any]) -> None:
    assert deployment_of(deployment(**status)).rolling


def test_a_number_that_is_left_out_is_zero() -> None:
    found = deployment()
    del found["spec"]["replicas"]
    assert deployment_of(found).replicas == 0


def test_a_quota_is_the_reason_why_pods_are_missing() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert deployment_of(deployment(conditions=[failure])).refused == "FailedCreate: exceeded quota"
    assert deployment_of(deployment(conditions=[failure | {"status": "False"}])).refused == ""


def test_expressions_of_a_selector_are_written_as_a_query() -> None:
    expressions = [
        {"key": "pool", "operator": "In", "values": ["a", "b"]},
        {"key": "zone", "operator": "NotIn", "values": ["c"]},
        {"key": "gpu", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "x"}, "matchExpressions": expressions}
    found = deployment_of(deployment(spec={"selector": selector}))
    assert found.selector == "app=x,pool in (a,b),zone notin (c),gpu,!old"


def test_a_ready_pod_has_its_cost() -> None:
    annotation = {"controller.kubernetes.io/pod-deletion-cost": "17"}
    found = pod_of(pod(metadata={"annotations": annotation}, conditions=[{"type": "Ready", "status": "True"}]))
    assert (found.ready, found.cost, found.trouble, found.hopeless, found.going) == (True, 17, "", False, False)
    assert pod_of(pod(metadata={"annotations": dict.fromkeys(annotation, "much")})).cost == 0


@pytest.mark.parametrize(
    ("status", "trouble", "hopeless"),
    [
        ({"containerStatuses": waiting("ImagePullBackOff")}, "ImagePullBackOff", True),
        ({"containerStatuses": waiting("InvalidImageName")}, "InvalidImageName", True),
        ({"initContainerStatuses": waiting("CreateContainerConfigError")}, "CreateContainerConfigError", True),
        # The first failure of a pull may be a passing one.
        ({"containerStatuses": waiting("ErrImagePull")}, "ErrImagePull", False),
        ({"containerStatuses": waiting("ContainerCreating")}, "ContainerCreating", False),
        ({"containerStatuses": waiting("CrashLoopBackOff", 2)}, "CrashLoopBackOff", False),
        ({"containerStatuses": waiting("CrashLoopBackOff", 3)}, "CrashLoopBackOff", True),
        # A node may be on its way.
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "Unschedulable",
            False,
        ),
        ({}, "", False),
    ],
)
def test_the_reason_why_a_pod_is_not_ready_is_recognised(status: Any, trouble: str, hopeless: bool) -> None:
    found = pod_of(pod(**status))
    assert (found.ready, found.trouble, found.hopeless) == (False, trouble, hopeless)


@pytest.mark.parametrize(
    "found",
    [
        pod(metadata={"deletionTimestamp": "2026-01-31T12:01:00Z"}),
        pod(phase="Failed", reason="Evicted"),
        pod(phase="Succeeded"),
    ],
)
def test_a_pod_that_ends_is_not_counted(found: dict[str, Any]) -> None:
    assert pod_of(found).going
