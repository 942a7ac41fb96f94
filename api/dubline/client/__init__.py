"""The client: typed calls of the HTTP API, and the `dubline` command line."""

from __future__ import annotations

from dubline.client.calls.batches import Retention
from dubline.client.calls.options import Controls
from dubline.client.calls.responses import Attempt, Batch, Fault, Job, Result, Upload
from dubline.client.client import Client
from dubline.client.errors import ClientError, RefusedError, UnreachableError

__all__ = [
    "Attempt",
    "Batch",
    "Client",
    "ClientError",
    "Controls",
    "Fault",
    "Job",
    "RefusedError",
    "Result",
    "Retention",
    "UnreachableError",
    "Upload",
]
