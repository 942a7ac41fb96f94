"""Waiting for what other processes do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Callable

READY_WITHIN_S = 60.0
#: Pauses between polls. They grow, because each poll takes processor time from what it waits for.
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.02, 0.25, 1.15


def wait_until(condition: Callable[[], object], within_s: float = READY_WITHIN_S) -> None:
    """Poll a condition until it holds; connection errors count as false."""
    deadline = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            if condition():
                return
        except (OSError, psycopg.OperationalError, redis.ConnectionError):
            pass
        if time.monotonic() > deadline:
            pytest.fail(f"{condition} did not hold within {within_s} s")
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, GROWTH * pause_s)
