"""The objects of an API server in memory, with the versions and the refusals of a real one."""

from __future__ import annotations

import copy
import threading
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Object = dict[str, Any]
#: Kinds by plural.
KINDS = {"deployments": "Deployment", "pods": "Pod"}
LARGEST = 2**31 - 1


class RefusedError(Exception):
    """An answer with a status of 400 or more."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class Objects:
    """Deployments and pods of one namespace. Every change gets the next version, which all kinds share."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._found: dict[tuple[str, str], Object] = {}
        self._version = 1000

    def get(self, plural: str, name: str) -> Object:
        with self.lock:
            if (plural, name) not in self._found:
                raise RefusedError(404, "NotFound", f'{plural} "{name}" not found')
            return copy.deepcopy(self._found[plural, name])

    def list(self, plural: str, labels: dict[str, str] | None = None) -> list[Object]:
        with self.lock:
            return [
                copy.deepcopy(one)
                for (kind, _), one in sorted(self._found.items())
                if kind == plural and (labels or {}).items() <= one["metadata"].get("labels", {}).items()
            ]

    @property
    def version(self) -> str:
        return str(self._version)

    def create(self, plural: str, found: Object) -> Object:
        one = copy.deepcopy(found)
        metadata = one.setdefault("metadata", {})
        with self.lock:
            if "name" not in metadata and "generateName" in metadata:
                metadata["name"] = metadata["generateName"] + uuid4().hex[:5]
            if not metadata.get("name"):
                raise RefusedError(422, "Invalid", "metadata.name: Required value: name or generateName is required")
            if metadata.get("resourceVersion"):
                raise RefusedError(400, "BadRequest", "resourceVersion should not be set on objects to be created")
            name = metadata["name"]
            if (plural, name) in self._found:
                raise RefusedError(409, "AlreadyExists", f'{plural} "{name}" already exists')
            if plural == "deployments":
                one["spec"].setdefault("replicas", 1)
                metadata["generation"] = 1
            _check(plural, one)
            metadata |= {"uid": str(uuid4()), "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
            return self._store(plural, one | {"kind": KINDS[plural]})

    def replace(self, plural: str, name: str, found: Object) -> Object:
        """Replace an object, as PUT does: without a version, whatever was stored is overwritten."""
        if not found.get("metadata", {}).get("name"):
            raise RefusedError(400, "BadRequest", "the name of the object was undeterminable: name must be provided")
        with self.lock:
            before = self.get(plural, name)
            _compare(plural, name, found["metadata"].get("resourceVersion"), before)
            after = copy.deepcopy(found)
            for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp"):
                if field in before["metadata"]:
                    after["metadata"][field] = before["metadata"][field]
            return self._change(plural, before, after | {"kind": KINDS[plural]})

    def patch(self, plural: str, name: str, patch: Object) -> Object:
        """Merge a patch into an object: null removes a field, and a version in the patch is compared."""
        with self.lock:
            before = self.get(plural, name)
            _compare(plural, name, patch.get("metadata", {}).get("resourceVersion"), before)
            return self._change(plural, before, _merged(before, patch))

    def delete(self, plural: str, name: str) -> Object:
        with self.lock:
            found = self.get(plural, name)
            del self._found[plural, name]
            self._version += 1
            return found

    def scale(self, name: str) -> Object:
        """Return the scale of a Deployment. A number of 0 is left out, as by a real server."""
        one = self.get("deployments", name)
        metadata = {field: one["metadata"][field] for field in ("name", "uid", "resourceVersion", "creationTimestamp")}
        selector = ",".join(f"{key}={value}" for key, value in sorted(one["spec"]["selector"]["matchLabels"].items()))
        replicas = one["spec"]["replicas"]
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": metadata,
            "spec": {"replicas": replicas} if replicas else {},
            "status": {"replicas": one.get("status", {}).get("replicas", 0), "selector": selector},
        }

    def set_scale(self, name: str, version: str | None, spec: Object) -> Object:
        replicas = spec.get("replicas", 0)
        patch: Object = {"spec": {"replicas": replicas}}
        if version:
            patch["metadata"] = {"resourceVersion": version}
        self.patch("deployments", name, patch)
        return self.scale(name)

    def _change(self, plural: str, before: Object, after: Object) -> Object:
        _check(plural, after)
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if after == before:
            return before
        if after.get("spec") != before.get("spec") and plural == "deployments":
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        return self._store(plural, after)

    def _store(self, plural: str, one: Object) -> Object:
        self._version += 1
        one["metadata"]["resourceVersion"] = str(self._version)
        self._found[plural, one["metadata"]["name"]] = one
        return copy.deepcopy(one)


def _compare(plural: str, name: str, version: str | None, stored: Object) -> None:
    if version and version != stored["metadata"]["resourceVersion"]:
        message = f'Operation cannot be fulfilled on {plural} "{name}": the object has been modified'
        raise RefusedError(409, "Conflict", f"{message}; please apply your changes to the latest version and try again")


def _check(plural: str, one: Object) -> None:
    if plural != "deployments":
        return
    replicas = one["spec"].get("replicas")
    if not isinstance(replicas, int) or isinstance(replicas, bool) or not 0 <= replicas <= LARGEST:
        raise RefusedError(422, "Invalid", f"spec.replicas: Invalid value: {replicas!r}")


def _merged(before: Object, patch: Object) -> Object:
    after = copy.deepcopy(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            after[name] = _merged(after.get(name) or {}, value)
        else:
            after[name] = copy.deepcopy(value)
    return after
