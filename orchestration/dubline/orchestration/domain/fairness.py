"""Start-time fair queueing between tenants: which place in the queue a new job takes. Pure.

Every job costs its seconds of speech. A tenant's clock says where its next job goes; it advances by the
cost of each job, and never lags behind the queue's own clock, which is the furthest place claimed so far. So
a tenant with 10,000 jobs has filled places far ahead, and one job of another tenant goes right behind the one
claimed last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def order_keys(queue_s: float, tenant_s: float, costs_s: Sequence[float]) -> tuple[list[float], float]:
    """Give each job its place.

    Args:
        queue_s: the queue's clock, in seconds of speech.
        tenant_s: the tenant's clock.
        costs_s: seconds of speech of each new job, in the order they are to be done.

    Returns:
        An order key per job, lower first, and the tenant's new clock.
    """
    at_s = max(queue_s, tenant_s)
    keys = []
    for cost_s in costs_s:
        keys.append(at_s)
        at_s += cost_s
    return keys, at_s
