"""The calls of the Kubernetes API. Only this file imports the client, which only the loop's process pays for."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from dubline.orchestration.cluster.errors import (
    ClusterError,
    ClusterSettingsError,
    ClusterUnavailableError,
    ConflictError,
    MissingObjectError,
)
from dubline.orchestration.cluster.objects import DELETION_COST, Deployment, Pod, deployment_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds to connect, and between two packets of a response.
TIMEOUTS_S: Final = (5.0, 10.0)
#: The file from which a pod reads its own namespace.
OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
#: Times that a patch of the scale is sent: the version changes with each pod that becomes ready.
SCALE_TRIES: Final = 5


class Cluster:
    """The Deployments and pods of one namespace. Every method may raise ClusterError."""

    def __init__(self, configuration: client.Configuration, namespace: str) -> None:
        """Create the client without connecting.

        Args:
            configuration: address and credentials.
            namespace: where the Deployments are.
        """
        # urllib3 would wait as long as the server wants before it repeats a call; the loop repeats by itself.
        configuration.retries = False
        api = client.ApiClient(configuration)
        self._apps, self._core = client.AppsV1Api(api), client.CoreV1Api(api)
        self.namespace = namespace

    @classmethod
    def connect(cls, namespace: str = "") -> Cluster:
        """Create the client from `KUBECONFIG`, or else from this pod's service account, or `~/.kube/config`.

        Args:
            namespace: where the Deployments are; empty: the namespace of the pod or of the current context.

        Raises:
            ClusterSettingsError: there is no usable configuration.
        """
        configuration = client.Configuration()
        try:
            if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)
                found = OWN_NAMESPACE.read_text(encoding="utf-8").strip()
            else:
                file = os.environ.get("KUBECONFIG")
                config.load_kube_config(file, client_configuration=configuration)
                found = config.list_kube_config_contexts(file)[1]["context"].get("namespace", "default")
        except (config.ConfigException, OSError, KeyError, TypeError) as error:
            raise ClusterSettingsError(
                f"no cluster is configured ({error}); set KUBECONFIG, or give the pod a service account with a token"
            ) from error
        return cls(configuration, namespace or found)

    def deployment(self, name: str) -> Deployment:
        """Read a Deployment."""
        with _translated_errors():
            response = self._apps.read_namespaced_deployment(name, self.namespace, **_raw())
            return deployment_of(json.loads(response.data))

    def pods(self, selector: str) -> tuple[Pod, ...]:
        """List the pods with some labels, as they are now."""
        with _translated_errors():
            # The models of the client take a millisecond for each pod; JSON takes a tenth of that.
            response = self._core.list_namespaced_pod(self.namespace, label_selector=selector, **_raw())
            return tuple(pod_of(item) for item in json.loads(response.data)["items"])

    def set_deletion_cost(self, pod: str, cost: int) -> None:
        """Write the order in which a pod is removed: the pods with the lowest cost first."""
        body = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        with _translated_errors():
            self._core.patch_namespaced_pod(pod, self.namespace, body, **_patch())

    def scale(self, deployment: Deployment, replicas: int) -> int:
        """Set the number of pods of a Deployment, unless someone else has changed it since it was read.

        Returns:
            Number of conflicts with changes of something else, after each of which it was read and sent again.

        Raises:
            ConflictError: the number of pods is not the one that was read, or changes did not end.
        """
        version = deployment.version
        for conflicts in range(SCALE_TRIES):
            body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
            try:
                with _translated_errors():
                    self._apps.patch_namespaced_deployment_scale(deployment.name, self.namespace, body, **_patch())
                return conflicts  # noqa: TRY300 - the loop repeats it only after a conflict
            except ConflictError:
                with _translated_errors():
                    scale = self._apps.read_namespaced_deployment_scale(
                        deployment.name, self.namespace, _request_timeout=TIMEOUTS_S
                    )
                # A server leaves out a number of 0.
                if (scale.spec.replicas or 0) != deployment.replicas:
                    raise
                version = scale.metadata.resource_version
        raise ConflictError(f"the Deployment {deployment.name} changed {SCALE_TRIES} times while it was scaled")


def _raw() -> dict[str, Any]:
    return {"_preload_content": False, "_request_timeout": TIMEOUTS_S}


def _patch() -> dict[str, Any]:
    # Fields that are not named stay as they are.
    return _raw() | {"_content_type": "application/merge-patch+json"}


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate the errors of the client."""
    try:
        yield
    except client.ApiException as error:
        message = f"{error.status} {_message(error)}"
        if error.status == HTTPStatus.CONFLICT:
            raise ConflictError(message) from error
        if error.status == HTTPStatus.NOT_FOUND:
            raise MissingObjectError(message) from error
        if error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ClusterUnavailableError(message, _retry_after_s(error)) from error
        raise ClusterError(message) from error
    except (HTTPError, OSError, ValueError, KeyError) as error:
        # The last two: a response that is no object, such as that of a proxy.
        raise ClusterUnavailableError(f"{type(error).__name__}: {error}") from error


def _message(error: client.ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def _retry_after_s(error: client.ApiException) -> float:
    text = (error.headers or {}).get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0
