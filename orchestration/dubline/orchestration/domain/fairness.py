"""Start-time fair queueing between tenants: the order keys of new jobs.

The cost of a job is its seconds of speech. Each tenant has a virtual time, which is the order key of its next job.
It advances by the cost of each job and is never behind the virtual time of the queue, which is the largest order key
claimed so far. Therefore the jobs of a tenant with 10,000 jobs extend far ahead, and a job of another tenant is placed
directly behind the job claimed last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def order_keys(queue_s: float, tenant_s: float, costs_s: Sequence[float]) -> tuple[list[float], float]:
    """Assign an order key to each new job of a tenant.

    Args:
        queue_s: virtual time of the queue, in seconds of speech.
        tenant_s: virtual time of the tenant.
        costs_s: seconds of speech of each new job, in the order in which they are to be claimed.

    Returns:
        The order keys (jobs with smaller ones are claimed first), and the tenant's new virtual time.
    """
    at_s = max(queue_s, tenant_s)
    keys = []
    for cost_s in costs_s:
        keys.append(at_s)
        at_s += cost_s
    return keys, at_s
