"""The calls of the loop, with the faults that an API server has."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.integration.cluster.double.server import NAMESPACE, Fault

from dubline.orchestration.cluster import api
from dubline.orchestration.cluster.api import Cluster
from dubline.orchestration.cluster.errors import (
    ClusterError,
    ClusterSettingsError,
    ClusterUnavailableError,
    ConflictError,
    MissingObjectError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.cluster.double.server import Double

SCALE = "deployments/scale"


def test_a_deployment_is_read_and_scaled(cluster: Cluster, deploy: Callable[..., str]) -> None:
    name = deploy()
    found = cluster.deployment(name)
    assert (found.replicas, found.refused, cluster.pods(found.selector)) == (0, "", ())
    cluster.scale(found, 2)
    assert cluster.deployment(name).replicas == 2


def test_a_conflict_with_another_change_is_repeated(
    cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    found = cluster.deployment(deploy())

    def touch() -> None:
        double.objects.patch("deployments", found.name, {"metadata": {"annotations": {"seen": "yes"}}})

    double.faults.append(Fault("patch", SCALE, change=touch))
    assert cluster.scale(found, 3) == 1
    assert double.objects.scale(found.name)["spec"]["replicas"] == 3


def test_a_scale_that_someone_else_has_changed_is_left(
    cluster: Cluster, double: Double, deploy: Callable[..., str]
) -> None:
    found = cluster.deployment(deploy())
    double.objects.set_scale(found.name, None, {"replicas": 7})
    with pytest.raises(ConflictError):
        cluster.scale(found, 3)
    assert double.objects.scale(found.name)["spec"]["replicas"] == 7


def test_conflicts_without_end_are_given_up(cluster: Cluster, double: Double, deploy: Callable[..., str]) -> None:
    found = cluster.deployment(deploy())
    double.faults.append(Fault("patch", SCALE, times=99, code=409))
    with pytest.raises(ConflictError, match="changed 5 times"):
        cluster.scale(found, 3)


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_overloaded_server_says_when_to_call_again(
    cluster: Cluster, double: Double, deploy: Callable[..., str], code: int
) -> None:
    name = deploy()
    double.faults.append(Fault("get", "deployments", code=code, headers=(("Retry-After", "7"),)))
    with pytest.raises(ClusterUnavailableError) as caught:
        cluster.deployment(name)
    assert caught.value.retry_after_s == 7.0
    # The client itself repeats nothing.
    assert [call.verb for call in double.calls] == ["create", "get"]


def test_a_server_that_does_not_respond_is_not_waited_for(
    cluster: Cluster, double: Double, deploy: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "TIMEOUTS_S", (1.0, 0.05))
    name, hold = deploy(), threading.Event()
    double.faults.append(Fault("get", "deployments", hold=hold))
    with pytest.raises(ClusterUnavailableError, match="ReadTimeout"):
        cluster.deployment(name)
    hold.set()


def test_a_connection_that_ends_is_an_outage(cluster: Cluster, double: Double, deploy: Callable[..., str]) -> None:
    name = deploy()
    double.faults.append(Fault("get", "deployments"))
    with pytest.raises(ClusterUnavailableError):
        cluster.deployment(name)


@pytest.mark.parametrize(("code", "error"), [(403, ClusterError), (404, MissingObjectError)])
def test_a_refusal_is_no_outage(
    cluster: Cluster, double: Double, deploy: Callable[..., str], code: int, error: type[Exception]
) -> None:
    name = deploy()
    double.faults.append(Fault("list", "pods", code=code))
    with pytest.raises(error) as caught:
        cluster.pods(cluster.deployment(name).selector)
    assert type(caught.value) is error


def test_the_namespace_comes_from_the_context(double: Double) -> None:
    assert double.url
    assert Cluster.connect().namespace == NAMESPACE
    assert Cluster.connect("other").namespace == "other"


def test_without_a_configuration_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterSettingsError, match="set KUBECONFIG, or give the pod a service account"):
        Cluster.connect()
