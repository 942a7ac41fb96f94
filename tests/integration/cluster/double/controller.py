"""The Deployment and ReplicaSet controllers, as far as the number of pods is concerned."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dubline.orchestration.cluster.objects import DELETION_COST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.cluster.double.objects import Object, Objects

STEP_S = 0.1


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_active(pod: Object) -> bool:
    ended = pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}
    return "deletionTimestamp" not in pod["metadata"] and not ended


def rank(pod: Object) -> tuple[Any, ...]:
    """Return the place of a pod in the order of removal, in which the smallest is removed first."""
    cost = int(pod["metadata"].get("annotations", {}).get(DELETION_COST, "0"))
    assigned, running = bool(pod["spec"].get("nodeName")), pod.get("status", {}).get("phase") == "Running"
    youth = -datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
    return assigned, running, is_ready(pod), cost, youth, pod["metadata"]["name"]


class Controller:
    """Creates and removes pods until each Deployment has as many as it is asked for."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.quota: int | None = None
        """Pods that may exist; None: any number."""

    def step(self) -> None:
        with self._objects.lock:
            for deployment in self._objects.list("deployments"):
                self._reconcile(deployment)

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()

        def loop() -> None:
            while not stop.is_set():
                self.step()
                time.sleep(STEP_S)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        yield
        stop.set()
        thread.join()

    def _reconcile(self, deployment: Object) -> None:
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        existing = self._objects.list("pods", spec["selector"]["matchLabels"])
        pods = sorted((pod for pod in existing if is_active(pod)), key=rank)
        for pod in pods[: max(0, len(pods) - spec["replicas"])]:
            self._objects.patch("pods", pod["metadata"]["name"], {"metadata": {"deletionTimestamp": _now()}})
        missing = max(0, spec["replicas"] - len(pods))
        room = missing if self.quota is None else max(0, self.quota - len(existing))
        for _ in range(min(missing, room)):
            self._objects.create("pods", _pod(name, spec["template"]))
        pods = [pod for pod in self._objects.list("pods", spec["selector"]["matchLabels"]) if is_active(pod)]
        status: dict[str, Any] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(pods),
            "readyReplicas": sum(map(is_ready, pods)),
            "conditions": [],
        }
        if len(pods) < spec["replicas"]:
            message = f'pods "{name}" is forbidden: exceeded quota'
            failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
            status["conditions"].append(failed)
        self._objects.patch("deployments", name, {"status": status})


def _pod(deployment: str, template: Object) -> Object:
    metadata = {"generateName": f"{deployment}-6c9b-", "labels": template["metadata"]["labels"]}
    return {"metadata": metadata, "spec": dict(template["spec"]), "status": {"phase": "Pending", "conditions": []}}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
