"""The objects of a rendered chart, as a cluster would see them, and what its schemas do not find wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Object = dict[str, Any]

QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|[KMGTPE]i|[MGTPE])?")
FACTORS: Final = {"": 1.0, "m": 1e-3, "k": 1e3} | {
    f"{letter}{i}": base ** (power + 1)
    for i, base in (("", 1000.0), ("i", 1024.0))
    for power, letter in enumerate("KMGTPE")
}
LABEL: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def amount(quantity: object) -> float:
    """Return a quantity as a number.

    Raises:
        ValueError: it is none.
    """
    match = QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity} is no quantity")
    return float(match[1]) * FACTORS[match[2] or ""]


@dataclass(frozen=True)
class Cluster:
    """All objects of one rendering."""

    objects: list[Object]
    words: frozenset[str] = field(default=frozenset())
    """All texts in the values: an object that is not rendered must have its name there."""

    def of(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.of(kind)}

    def pods(self) -> Iterator[tuple[Object, Object]]:
        """Yield each workload with the template of its pods."""
        for one in self.of("Deployment", "Job"):
            yield one, one["spec"]["template"]

    def selected(self, labels: dict[str, str]) -> list[Object]:
        """Return the templates of the pods that have the labels."""
        return [pod for _, pod in self.pods() if labels.items() <= pod["metadata"]["labels"].items()]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def ports(pod: Object) -> set[object]:
    """Return the names and numbers of a pod's ports."""
    found = [port for one in containers(pod) for port in one.get("ports", ())]
    return {port["name"] for port in found} | {port["containerPort"] for port in found}


def quantities(cluster: Cluster) -> Iterator[str]:
    """Yield amounts that are none, requests above their limit, and disks that are not requested."""
    for workload, pod in cluster.pods():
        name = workload["metadata"]["name"]
        disks = [volume["emptyDir"]["sizeLimit"] for volume in pod["spec"]["volumes"] if "emptyDir" in volume]
        for one in containers(pod):
            requests, limits = one["resources"].get("requests", {}), one["resources"].get("limits", {})
            try:
                for resource, requested in requests.items():
                    if resource in limits and amount(requested) > amount(limits[resource]):
                        yield f"{name}: the request for {resource} is above the limit"
                [amount(limit) for limit in limits.values()]
                if amount(requests.get("ephemeral-storage", 0)) < sum(map(amount, disks)):
                    yield f"{name}: the disk of its volumes is not requested"
            except ValueError as error:
                yield f"{name}: {error}"
            if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
                yield f"{name}: CPU or memory is not requested, or memory is not limited"


def named_ports(cluster: Cluster) -> Iterator[str]:
    """Yield ports that no selected pod has."""
    for workload, pod in cluster.pods():
        for one in containers(pod):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = one.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in ports(pod):
                    yield f"{workload['metadata']['name']}: {probe} asks the port {port}, which the pod does not have"
    wanted: list[tuple[Object, dict[str, str], object]] = []
    for one in cluster.of("Service"):
        wanted += [(one, one["spec"]["selector"], port["targetPort"]) for port in one["spec"]["ports"]]
    for one in cluster.of("PodMonitor"):
        labels = one["spec"]["selector"]["matchLabels"]
        wanted += [(one, labels, endpoint["port"]) for endpoint in one["spec"]["podMetricsEndpoints"]]
    for one in cluster.of("NetworkPolicy"):
        labels = one["spec"]["podSelector"]["matchLabels"]
        wanted += [(one, labels, port["port"]) for rule in one["spec"].get("ingress", ()) for port in rule["ports"]]
    for one, labels, port in wanted:
        missing = [pod for pod in cluster.selected(labels) if port not in ports(pod)]
        # The migration has no metrics.
        missing = [pod for pod in missing if pod["spec"].get("restartPolicy") != "Never"]
        if missing:
            yield f"{one['kind']} {one['metadata']['name']}: a selected pod has no port {port}"


def selectors(cluster: Cluster) -> Iterator[str]:
    """Yield selectors that select no pod, or those of another workload."""
    for workload, pod in cluster.pods():
        labels = workload["spec"].get("selector", {}).get("matchLabels")
        if labels is not None and cluster.selected(labels) != [pod]:
            yield f"{workload['metadata']['name']}: its selector does not select exactly its own pods"
        for spread in pod["spec"].get("topologySpreadConstraints", ()):
            if not spread["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items():
                yield f"{workload['metadata']['name']}: its pods are not among those that are spread"
    paths: dict[str, Callable[[Object], dict[str, str]]] = {
        "Service": lambda one: one["spec"]["selector"],
        "PodDisruptionBudget": lambda one: one["spec"]["selector"]["matchLabels"],
        "PodMonitor": lambda one: one["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": lambda one: one["spec"]["podSelector"]["matchLabels"],
    }
    for kind, labels_of in paths.items():
        for one in cluster.of(kind):
            if not cluster.selected(labels_of(one)):
                yield f"{kind} {one['metadata']['name']} selects no pod"


def references(cluster: Cluster) -> Iterator[str]:
    """Yield names of objects that are neither rendered nor in the values, and volumes that are not declared."""
    known = {kind: cluster.names(kind) | cluster.words for kind in ("Secret", "ConfigMap", "ServiceAccount")}
    known["PriorityClass"] = cluster.words
    for workload, pod in cluster.pods():
        spec, name = pod["spec"], workload["metadata"]["name"]
        wanted = [("ServiceAccount", spec.get("serviceAccountName"))]
        wanted += [("PriorityClass", spec.get("priorityClassName"))]
        wanted += [("Secret", one["name"]) for one in spec.get("imagePullSecrets", ())]
        wanted += [("Secret", volume["secret"]["secretName"]) for volume in spec["volumes"] if "secret" in volume]
        wanted += [("ConfigMap", volume["configMap"]["name"]) for volume in spec["volumes"] if "configMap" in volume]
        for one in containers(pod):
            for source in one.get("envFrom", ()):
                wanted += [(kind[0].upper() + kind[1:-3], found["name"]) for kind, found in source.items()]
            sources = [variable["valueFrom"] for variable in one["env"] if "valueFrom" in variable]
            wanted += [("Secret", source["secretKeyRef"]["name"]) for source in sources if "secretKeyRef" in source]
            mounted = {mount["name"] for mount in one.get("volumeMounts", ())}
            if mounted != {volume["name"] for volume in spec["volumes"]}:
                yield f"{name}: volumes and mounts are not the same"
            twice = [variable["name"] for variable in one["env"]]
            if len(set(twice)) < len(twice):
                yield f"{name}: a variable is set twice"
        for kind, found in wanted:
            if found is not None and found not in known[kind] | {"default"}:
                yield f"{name}: there is no {kind} {found}"


def targets(cluster: Cluster) -> Iterator[str]:
    """Yield autoscalers of objects that do not exist, and Deployments whose replicas are set twice."""
    deployments = {one["metadata"]["name"]: one for one in cluster.of("Deployment")}
    scaled = []
    for one in cluster.of("HorizontalPodAutoscaler", "ScaledObject"):
        name = one["spec"]["scaleTargetRef"]["name"]
        scaled.append(name)
        if name not in deployments:
            yield f"{one['kind']} {one['metadata']['name']} scales {name}, which does not exist"
        elif "replicas" in deployments[name]["spec"]:
            yield f"{one['kind']} {one['metadata']['name']} and each upgrade set the replicas of {name}"
        for trigger in one["spec"].get("triggers", ()):
            if trigger["authenticationRef"]["name"] not in cluster.names("TriggerAuthentication"):
                yield f"ScaledObject {one['metadata']['name']} has no TriggerAuthentication"
    if len(set(scaled)) < len(scaled):
        yield "a Deployment has two autoscalers"


def routes(cluster: Cluster) -> Iterator[str]:
    """Yield routes and role bindings of objects that do not exist."""
    for one in cluster.of("Ingress"):
        for path in (path for rule in one["spec"]["rules"] for path in rule["http"]["paths"]):
            service = path["backend"]["service"]
            found = [other for other in cluster.of("Service") if other["metadata"]["name"] == service["name"]]
            if not any(port["name"] == service["port"]["name"] for other in found for port in other["spec"]["ports"]):
                yield f"Ingress {one['metadata']['name']} routes to a service or a port that does not exist"
    for one in cluster.of("RoleBinding"):
        subjects = {subject["name"] for subject in one["subjects"]}
        if one["roleRef"]["name"] not in cluster.names("Role") or not subjects <= cluster.names("ServiceAccount"):
            yield f"RoleBinding {one['metadata']['name']} binds a role or an account that does not exist"


def rollouts(cluster: Cluster) -> Iterator[str]:
    """Yield rollouts that replace their pods one by one, and those that a healthy start of a pod lets fail."""
    for one in cluster.of("Deployment"):
        name, spec, pod = one["metadata"]["name"], one["spec"], one["spec"]["template"]["spec"]
        rolling = spec.get("strategy", {}).get("rollingUpdate", {})
        if str(rolling.get("maxUnavailable", "25%")).isdigit():
            yield f"{name}: an upgrade of many pods replaces {rolling['maxUnavailable']} at a time"
        probe = pod["containers"][0]["startupProbe"]
        # Without a surge a new pod waits for the old one's device.
        wait_s = pod["terminationGracePeriodSeconds"] if rolling.get("maxSurge") == 0 else 0
        if spec.get("progressDeadlineSeconds", 600) < wait_s + probe["periodSeconds"] * probe["failureThreshold"]:
            yield f"{name}: its rollout fails before a slow pod is ready"


def names(cluster: Cluster) -> Iterator[str]:
    """Yield names and labels that are not valid or not unique."""
    seen = set()
    for one in cluster.objects:
        key = one["kind"], one["metadata"]["name"]
        if key in seen or NAME.fullmatch(key[1]) is None:
            yield f"the name of {' '.join(key)} is not unique or not valid"
        seen.add(key)
        labels = [*one["metadata"]["labels"].values()]
        if not all(isinstance(value, str) and LABEL.fullmatch(value) for value in labels):
            yield f"a label of {' '.join(key)} is not valid"


def restricted(cluster: Cluster) -> Iterator[str]:
    """Yield what the Pod Security Standard `restricted` refuses, and tokens of pods that use no Kubernetes API."""
    for workload, pod in cluster.pods():
        name, spec, shared = workload["metadata"]["name"], pod["spec"], pod["spec"].get("securityContext", {})
        component = workload["metadata"]["labels"]["app.kubernetes.io/component"]
        if spec.get("automountServiceAccountToken") is not (component == "scaler"):
            yield f"{name}: it has a token without need, or none"
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: it uses a namespace of the host"
        allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
        allowed |= {"secret", "name"}
        if not all(set(volume) <= allowed for volume in spec["volumes"]):
            yield f"{name}: it has a volume of the host"
        for one in containers(pod):
            yield from (f"{name}: {fault}" for fault in unconfined(one, shared))


def unconfined(container: Object, shared: Object) -> Iterator[str]:
    """Yield what a container may do and should not; `shared` is the security context of its pod."""
    own = container.get("securityContext", {})
    seccomp = own.get("seccompProfile", shared.get("seccompProfile", {}))
    confined = {
        "it may gain privileges": own.get("allowPrivilegeEscalation") is False and not own.get("privileged"),
        "it has capabilities": own.get("capabilities") == {"drop": ["ALL"]},
        "it may run as root": own.get("runAsNonRoot", shared.get("runAsNonRoot")) and own.get("runAsUser", 1) != 0,
        "it has no seccomp profile": seccomp.get("type") == "RuntimeDefault",
        "it uses a port of the host": not any("hostPort" in port for port in container.get("ports", ())),
        "its root file system is writable": own.get("readOnlyRootFilesystem") is True,
    }
    yield from (fault for fault, holds in confined.items() if not holds)


CHECKS: Final = (quantities, named_ports, selectors, references, targets, routes, rollouts, names, restricted)


def faults(cluster: Cluster) -> list[str]:
    """Return every fault that a check finds."""
    return [fault for check in CHECKS for fault in check(cluster)]
