"""The outcome of one video: a file or a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.client.calls.responses import Fault
from dubline.client.errors import ClientError, RefusedError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """A video or the reason of its failure: exactly one of `path` and `fault` is set."""

    name: str
    path: Path | None
    fault: Fault | None


def fault_of(error: ClientError) -> Fault:
    """Convert an error of a call to a fault."""
    if isinstance(error, RefusedError):
        return Fault(code=error.code, detail=error.detail)
    return Fault(code="client_error", detail=str(error))
