"""The limit on the rate of requests: a token bucket, kept as the time at which it is full again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

#: Time over which the rate is averaged: so many seconds' requests may be sent at once.
WINDOW_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a request found in the bucket of its tenant."""

    allowed: bool
    remaining: int
    """Requests that may follow at once."""
    full_s: float
    """Seconds until the bucket is full."""
    wait_s: float
    """Seconds until a request is allowed; 0 if one is."""


def burst(per_s: float) -> float:
    """Return the number of requests in a full bucket, at least 1."""
    return max(1.0, per_s * WINDOW_S)


def count(full_at_s: float, now_s: float, per_s: float) -> tuple[float, Counted]:
    """Take one request from a bucket.

    Args:
        full_at_s: time at which the bucket is full again; any earlier time: it is full.
        now_s: the time now.
        per_s: requests in a second, more than 0.

    Returns:
        The new time at which it is full again, and what the request found.
    """
    full_at_s = max(full_at_s, now_s)
    room = burst(per_s) - (full_at_s - now_s) * per_s
    allowed = room >= 1
    if allowed:
        full_at_s += 1 / per_s
        room -= 1
    return full_at_s, Counted(
        allowed=allowed,
        remaining=max(0, math.floor(room)),
        full_s=full_at_s - now_s,
        wait_s=max(0.0, (1 - room) / per_s) if not allowed else 0.0,
    )
