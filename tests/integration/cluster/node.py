"""A node: runs a worker process for each pod, as a kubelet runs a container.

The process gets SIGTERM when its pod is being removed, and SIGKILL when the grace period is over. On the double the
node also reports whether the worker is ready, and removes the object once the process has ended. On a real cluster the
pods run a container that does nothing, and the kubelets do both.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kubernetes import client
from tests.forks import PYTHON
from tests.integration.cluster.double.objects import RefusedError

from dubline.orchestration.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.forks import Forked, Forks
    from tests.integration.cluster.double.server import Double

    from dubline.orchestration.cluster.api import Cluster

STEP_S = 0.1
GRACE_S = 60.0
WORKER = [*PYTHON, "tests.integration.worker.light"]


@dataclass(slots=True)
class Container:
    """The worker process of a pod."""

    process: Forked
    liveness: Path
    told_at_s: float = field(default=float("inf"))
    """When it was told to stop."""

    @property
    def ready(self) -> bool:
        return self.liveness.exists() and not self.liveness.read_text()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Node:
    """All workers of one Deployment."""

    def __init__(  # noqa: PLR0913, PLR0917 - the cluster, the processes and their environment
        self,
        cluster: Cluster,
        selector: str,
        double: Double | None,
        forks: Forks,
        folder: Path,
        environ: Mapping[str, str],
    ) -> None:
        self._cluster, self._selector, self._double = cluster, selector, double
        self._core = cluster._core
        self._forks, self._folder, self._environ = forks, folder, environ
        self._lock = threading.Lock()
        self.containers: dict[str, Container] = {}
        self.exits: dict[str, int] = {}
        """Exit codes of ended processes by pod."""

    @property
    def names(self) -> list[str]:
        with self._lock:
            return sorted(self.containers)

    @contextmanager
    def running(self) -> Iterator[Node]:
        stop = threading.Event()

        def loop() -> None:
            while not stop.is_set():
                with suppress(ClusterError):
                    self._step()
                time.sleep(STEP_S)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            for container in self.containers.values():
                container.kill()

    def lose(self, name: str) -> None:
        """Lose the machine of a pod: its processes end at once, and its object disappears."""
        with self._lock:
            self.containers.pop(name).kill()
            self._remove(name)

    def _step(self) -> None:
        with self._lock:
            pods = {pod.name: pod for pod in self._cluster.pods(self._selector)}
            for name, pod in pods.items():
                if name not in self.containers and name not in self.exits and not pod.going:
                    self.containers[name] = self._start(name)
            for name, container in list(self.containers.items()):
                found = pods.get(name)
                if found is None or found.going:
                    self._stop(container)
                if (code := container.process.poll()) is not None:
                    self.exits[name] = code
                    del self.containers[name]
                    self._remove(name)
                elif self._double is not None and found is not None and found.ready is not container.ready:
                    self._report(name, ready=container.ready)

    def _start(self, name: str) -> Container:
        liveness = self._folder / f"{name}.alive"
        own = {
            "POD": name,
            "DUBLINE_WORKER_LIVENESS_FILE": str(liveness),
            "DUBLINE_WORKER_SCRATCH_DIR": str(self._folder / name),
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            process = self._forks.start(WORKER, {**self._environ, **own}, log)
        return Container(process, liveness)

    def _stop(self, container: Container) -> None:
        now_s = time.monotonic()
        if container.told_at_s > now_s:
            container.told_at_s = now_s
            container.process.send_signal(signal.SIGTERM)
        elif now_s - container.told_at_s > GRACE_S:
            container.kill()

    def _report(self, name: str, *, ready: bool) -> None:
        assert self._double is not None
        condition = {"type": "Ready", "status": str(ready)}
        status = {"phase": "Running", "conditions": [condition]}
        patch = {"spec": {"nodeName": "node"}, "status": status}
        with suppress(RefusedError):
            self._double.objects.patch("pods", name, patch)

    def _remove(self, name: str) -> None:
        with suppress(client.ApiException):
            self._core.delete_namespaced_pod(name, self._cluster.namespace, grace_period_seconds=0)
