"""Fixtures: an API server, which is the double unless `make cluster` names a real one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.integration.cluster.double.server import Double

from dubline.orchestration.cluster.api import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kubernetes import client

#: Of a real cluster; empty: the double.
REAL = os.environ.get("CLUSTER_KUBECONFIG", "")
NAMESPACE = os.environ.get("CLUSTER_NAMESPACE", "")
#: Its pods only have to exist.
IMAGE = os.environ.get("CLUSTER_IMAGE") or "busybox"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double | None]:
    """The double; None: a real cluster is used."""
    if REAL:
        monkeypatch.setenv("KUBECONFIG", REAL)
        yield None
        return
    with Double().running() as double:
        monkeypatch.setenv("KUBECONFIG", str(double.kubeconfig(tmp_path / "kubeconfig")))
        yield double


@pytest.fixture
def double(server: Double | None) -> Double:
    if server is None:
        pytest.skip("only the double has faults and shows the calls that it saw")
    return server


@pytest.fixture
def cluster(server: Double | None) -> Cluster:  # noqa: ARG001 - it sets KUBECONFIG
    return Cluster.connect(NAMESPACE)


@pytest.fixture
def apps(cluster: Cluster) -> client.AppsV1Api:
    return cluster._apps


def manifest(name: str, replicas: int) -> dict[str, Any]:
    labels = {"dubline-test": name}
    container = {"name": "worker", "image": IMAGE, "command": ["sleep", "86400"]}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@pytest.fixture
def deploy(apps: client.AppsV1Api, cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Create Deployments, which are deleted at the end."""
    names: list[str] = []

    def deploy(replicas: int = 0) -> str:
        name = f"dubline-test-{uuid4().hex[:8]}"
        apps.create_namespaced_deployment(cluster.namespace, manifest(name, replicas))
        names.append(name)
        return name

    yield deploy
    for name in names:
        apps.delete_namespaced_deployment(name, cluster.namespace)
