"""What may go wrong between the loop and the cluster. None of it reaches a sender."""

from __future__ import annotations


class ClusterError(Exception):
    """A call of the cluster's API failed, so the pool keeps its workers."""

    cause = "cluster_refused"
    """What it is called in events and metrics."""


class ClusterUnavailableError(ClusterError):
    """The API does not respond, is overloaded or failed. Whether the call had an effect is unknown."""

    cause = "cluster_unavailable"

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """Seconds for which the API wants no calls."""


class ConflictError(ClusterError):
    """The object has changed since it was read."""

    cause = "conflict"


class MissingObjectError(ClusterError):
    """There is no such object."""

    cause = "missing_object"


class ClusterSettingsError(Exception):
    """The cluster's address or credentials are missing or not valid."""
