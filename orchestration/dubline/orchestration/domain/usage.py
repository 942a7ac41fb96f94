"""Usage of tenants, by day and preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import date

#: Longest period of one request, in days.
PERIOD_MAX_DAYS: Final = 366
#: Period of a request that gives none, in days.
PERIOD_DAYS: Final = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the jobs took that became final on one day; deleted jobs are included."""

    tenant: str
    day: date
    """In UTC."""
    preset: str
    jobs: int
    succeeded: int
    failed: int
    cancelled: int
    video_s: float
    device_s: float
    """Seconds of device time of all attempts, also of jobs that failed or were cancelled."""
    size_bytes: int
    """Size of the videos."""
