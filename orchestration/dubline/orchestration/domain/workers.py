"""Workers as the service sees them: what each of them is rendering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """The work of one worker on one job."""

    host: str
    """Host of the worker; on Kubernetes the name of its pod."""
    preset: str
    unsaved_s: float
    """Seconds since its last checkpoint, or since the attempt began: what is lost if the worker is killed now."""
