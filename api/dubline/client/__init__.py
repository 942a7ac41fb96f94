"""The client: typed calls of the HTTP API, and the `dubline` command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dubline.client.calls.batches import Retention
    from dubline.client.calls.jobs import NewJob
    from dubline.client.calls.options import Controls, Output, Point
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
    "NewJob",
    "Output",
    "Point",
    "RefusedError",
    "Result",
    "Retention",
    "UnreachableError",
    "Upload",
]

#: Module of each name. They are imported when they are used: the command line handles Ctrl-C before that.
_MODULES: Final = {
    "Attempt": "calls.responses",
    "Batch": "calls.responses",
    "Client": "client",
    "ClientError": "errors",
    "Controls": "calls.options",
    "Fault": "calls.responses",
    "Job": "calls.responses",
    "NewJob": "calls.jobs",
    "Output": "calls.options",
    "Point": "calls.options",
    "RefusedError": "errors",
    "Result": "calls.responses",
    "Retention": "calls.batches",
    "UnreachableError": "errors",
    "Upload": "calls.responses",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
