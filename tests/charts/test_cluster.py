"""Every shape of the chart passes the strict schemas and the checks that schemas lack; each check finds its fault."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.charts.cluster import Cluster, faults

if TYPE_CHECKING:
    from collections.abc import Callable

    Render = Callable[..., list[dict[str, Any]]]

#: The oldest version of Kubernetes that Chart.yaml names, and the newest one.
VERSIONS = ("1.28", "1.37")
CUSTOM = Path(__file__).with_name("custom_resources.json")


def words(tree: object) -> frozenset[str]:
    """Return all texts of a tree."""
    if isinstance(tree, str):
        return frozenset({tree})
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return frozenset().union(*map(words, inner))


@pytest.fixture
def cluster(render: Render, chart: Path, values: tuple[str, ...]) -> Cluster:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")
    files = [chart / "values.yaml", *(path for path in values if path.endswith("-values.yaml"))]
    return Cluster(render(*values), words([yaml.safe_load(Path(path).read_text()) for path in files]))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_of_every_shape_passes_the_strict_schema(render: Render, chart: Path, version: str) -> None:
    reason = "kubernetes-validate, of the dev extra, is not installed"
    schemas = pytest.importorskip("kubernetes_validate", reason=reason).utils
    referencing, validators = pytest.importorskip("referencing"), pytest.importorskip("jsonschema.validators")
    folder = f"kubernetes-json-schema/v{version}.0-local-strict"

    def read(name: str) -> Any:
        return schemas.schema_contents(f"{folder}/{name}.json", version)

    registry = referencing.Resource.from_contents(read("_definitions")) @ referencing.Registry()

    @cache
    def validator(kind: str, group: str) -> Any:
        return validators.Draft202012Validator(read(f"{kind.lower()}-{group}"), registry=registry)

    shapes = [(), *(("--values", str(path)) for path in sorted((chart / "ci").glob("*-values.yaml")))]
    # Most objects are the same in many shapes.
    objects = {json.dumps(one, sort_keys=True): one for shape in shapes for one in render(*shape)}
    assert len(objects) > 50
    for one in objects.values():
        group, _, number = one["apiVersion"].rpartition("/")
        if group not in {"keda.sh", "monitoring.coreos.com"}:
            prefix = f"{group.split('.')[0]}-" if group else ""
            validator(one["kind"], f"{prefix}{number}").validate(one)


def test_every_custom_resource_passes_its_schema(cluster: Cluster) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema, of the dev extra, is not installed")
    schemas = json.loads(CUSTOM.read_text())
    for one in cluster.of("ScaledObject", "TriggerAuthentication", "PodMonitor", "ServiceMonitor", "PrometheusRule"):
        jsonschema.validate(one, schemas["$defs"][one["kind"]] | {"$defs": schemas["$defs"]})


def test_the_objects_fit_together(cluster: Cluster) -> None:
    assert faults(cluster) == []


def changed(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets a value in an object; `del` removes it."""

    def change(one: Any) -> None:
        for step in path[:-1]:
            one = one[step]
        if value == "del":
            del one[path[-1]]
        else:
            one[path[-1]] = value

    return change


POD = ("spec", "template", "spec")
MAIN = (*POD, "containers", 0)
FAULTS = [
    ("Deployment", changed("2 GB", *MAIN, "resources", "limits", "memory"), "2 GB is no quantity"),
    ("Deployment", changed("1Mi", *MAIN, "resources", "limits", "memory"), "is above the limit"),
    ("Deployment", changed("1Mi", *MAIN, "resources", "requests", "ephemeral-storage"), "disk of its volumes"),
    ("Deployment", changed("del", *MAIN, "resources", "requests", "cpu"), "is not requested"),
    ("Deployment", changed("web", *MAIN, "livenessProbe", "httpGet", "port"), "livenessProbe asks the port web"),
    ("Service", changed("web", "spec", "ports", 0, "targetPort"), "a selected pod has no port web"),
    ("PodMonitor", changed("web", "spec", "podMetricsEndpoints", 0, "port"), "a selected pod has no port web"),
    ("Deployment", changed("x", "spec", "template", "metadata", "labels", "app.kubernetes.io/component"), "exactly"),
    ("Service", changed("x", "spec", "selector", "app.kubernetes.io/component"), "Service dubline-api selects no pod"),
    ("PodDisruptionBudget", changed({"a": "b"}, "spec", "selector", "matchLabels"), "selects no pod"),
    ("NetworkPolicy", changed({"a": "b"}, "spec", "podSelector", "matchLabels"), "selects no pod"),
    (
        "Deployment",
        changed({"a": "b"}, *POD, "topologySpreadConstraints", 0, "labelSelector", "matchLabels"),
        "are not among those that are spread",
    ),
    ("Deployment", changed("other", *POD, "serviceAccountName"), "there is no ServiceAccount other"),
    ("Deployment", changed("other", *POD, "priorityClassName"), "there is no PriorityClass other"),
    ("Deployment", changed([{"name": "other"}], *POD, "imagePullSecrets"), "there is no Secret other"),
    ("Deployment", changed([{"secretRef": {"name": "other"}}], *MAIN, "envFrom"), "there is no Secret other"),
    ("Deployment", changed([], *MAIN, "volumeMounts"), "volumes and mounts"),
    ("HorizontalPodAutoscaler", changed("other", "spec", "scaleTargetRef", "name"), "which does not exist"),
    ("Deployment", changed(1, "spec", "replicas"), "and each upgrade set the replicas"),
    ("Ingress", changed("other", *("spec", "rules", 0, "http", "paths", 0, "backend", "service", "name")), "routes"),
    ("Deployment", changed({"rollingUpdate": {"maxUnavailable": 1}}, "spec", "strategy"), "replaces 1 at a time"),
    ("Deployment", changed(59, "spec", "progressDeadlineSeconds"), "its rollout fails before a slow pod is ready"),
    ("Service", changed("a" * 64, "metadata", "labels", "a"), "a label of Service"),
    ("Service", changed("A", "metadata", "name"), "is not unique or not valid"),
    ("Deployment", changed(True, *POD, "automountServiceAccountToken"), "it has a token without need"),
    ("Deployment", changed(True, *POD, "hostNetwork"), "a namespace of the host"),
    ("Deployment", changed({"name": "scratch", "hostPath": {}}, *POD, "volumes", 0), "a volume of the host"),
    ("Deployment", changed(False, *POD, "securityContext", "runAsNonRoot"), "it may run as root"),
    ("Deployment", changed({}, *POD, "securityContext", "seccompProfile"), "no seccomp profile"),
    ("Deployment", changed("del", *MAIN, "securityContext", "capabilities"), "it has capabilities"),
    ("Deployment", changed("del", *MAIN, "securityContext", "allowPrivilegeEscalation"), "may gain privileges"),
    ("Deployment", changed(False, *MAIN, "securityContext", "readOnlyRootFilesystem"), "is writable"),
    ("Deployment", changed(80, *MAIN, "ports", 0, "hostPort"), "a port of the host"),
]


@pytest.mark.parametrize(("kind", "change", "message"), FAULTS, ids=[f"{one[0]}: {one[2]}" for one in FAULTS])
def test_a_planted_fault_is_found(
    render: Render, chart: Path, kind: str, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML, of the dev extra, is not installed")
    file = chart / "ci" / "production-values.yaml"
    known = words([yaml.safe_load(path.read_text()) for path in (chart / "values.yaml", file)])
    objects = deepcopy(render("--values", str(file)))
    assert faults(Cluster(objects, known)) == []
    chosen = [one for one in objects if one["kind"] == kind]
    change(next((one for one in chosen if one["metadata"]["name"] == "dubline-api"), chosen[0]))
    assert [fault for fault in faults(Cluster(objects, known)) if message in fault]
