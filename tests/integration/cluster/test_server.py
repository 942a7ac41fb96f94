"""What the loop relies on in an API server: the double and a real one pass the same tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from tests.integration.cluster.conftest import manifest
from tests.integration.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.cluster.api import Cluster

MERGE = {"_content_type": "application/merge-patch+json"}
WITHIN_S = 60.0


class Scale:
    """The scale of a new Deployment, and calls on it."""

    def __init__(self, apps: client.AppsV1Api, namespace: str, name: str) -> None:
        self.apps, self.namespace, self.name = apps, namespace, name

    def read(self) -> Any:
        return self.apps.read_namespaced_deployment_scale(self.name, self.namespace)

    def settled(self) -> str:
        """Return the version once the controllers, if there are any, have seen the Deployment."""
        versions: list[str] = []

        def same() -> bool:
            versions.append(self.read().metadata.resource_version)
            return versions[-3:].count(versions[-1]) == 3

        wait_until(same, WITHIN_S)
        return versions[-1]

    def patch(self, replicas: Any, version: str | None = None) -> Any:
        body: dict[str, Any] = {"spec": {"replicas": replicas}}
        if version:
            body["metadata"] = {"resourceVersion": version}
        return self.apps.patch_namespaced_deployment_scale(self.name, self.namespace, body, **MERGE)

    def put(self, replicas: Any, version: str | None = None) -> Any:
        metadata = {"name": self.name, "namespace": self.namespace}
        if version:
            metadata["resourceVersion"] = version
        body = {"metadata": metadata, "spec": {"replicas": replicas}}
        return self.apps.replace_namespaced_deployment_scale(self.name, self.namespace, body)


@pytest.fixture
def scale(apps: client.AppsV1Api, cluster: Cluster, deploy: Callable[..., str]) -> Scale:
    return Scale(apps, cluster.namespace, deploy())


def refused(call: Callable[[], object]) -> client.ApiException:
    with pytest.raises(client.ApiException) as caught:
        call()
    return caught.value


def test_a_change_of_a_version_that_is_stale_is_refused(scale: Scale) -> None:
    version = scale.settled()
    scale.patch(1, version)
    assert refused(lambda: scale.patch(2, version)).status == 409
    assert refused(lambda: scale.put(2, version)).status == 409
    assert scale.read().spec.replicas == 1


def test_a_change_without_a_version_succeeds(scale: Scale) -> None:
    scale.patch(1)
    scale.put(2)
    assert scale.read().spec.replicas == 2


def test_of_two_puts_of_one_version_one_is_refused(scale: Scale) -> None:
    version = scale.settled()
    results = []
    for replicas in (1, 2):
        try:
            scale.put(replicas, version)
            results.append(200)
        except client.ApiException as error:
            results.append(error.status)
    assert sorted(results) == [200, 409]


@pytest.mark.parametrize("replicas", [-1, "three"])
def test_a_number_of_pods_that_is_not_valid_is_refused(scale: Scale, replicas: object) -> None:
    assert refused(lambda: scale.patch(replicas)).status == 422


def test_an_object_that_does_not_exist_is_not_found(scale: Scale) -> None:
    scale.name = "dubline-test-none"
    assert refused(scale.read).status == 404
    assert refused(lambda: scale.patch(1)).status == 404


def test_a_second_object_of_a_name_is_refused(scale: Scale) -> None:
    again = refused(lambda: scale.apps.create_namespaced_deployment(scale.namespace, manifest(scale.name, 0)))
    assert (again.status, "AlreadyExists" in again.body) == (409, True)


def test_a_patch_that_changes_nothing_keeps_the_version(scale: Scale) -> None:
    version = scale.settled()
    scale.patch(0)
    assert scale.read().metadata.resource_version == version


def test_a_scale_has_the_version_of_its_deployment(scale: Scale) -> None:
    version = scale.settled()
    found = scale.apps.read_namespaced_deployment(scale.name, scale.namespace)
    assert found.metadata.resource_version == version


def test_a_scale_of_zero_has_no_number(scale: Scale) -> None:
    assert scale.read().spec.replicas is None
    scale.patch(1)
    assert scale.read().spec.replicas == 1


def test_a_put_without_a_name_is_refused(scale: Scale) -> None:
    body = {"metadata": {}, "spec": {"replicas": 1}}
    put = scale.apps.replace_namespaced_deployment_scale
    assert refused(lambda: put(scale.name, scale.namespace, body)).status == 400
