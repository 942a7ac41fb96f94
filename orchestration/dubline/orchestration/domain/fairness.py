"""Start-time fair queueing between tenants: the order keys of new work, and a limit on what one tenant holds.

There are two queues: jobs that wait for a renderer, and uploads that wait for a prober. The cost of work is its
predicted time on a worker (`domain.cost`). Each tenant has a virtual time in each queue, which is the order key of its
next work. It advances by each cost and is never behind the clock of the queue, which is the largest order
key claimed so far. Therefore the jobs of a tenant with 10,000 jobs extend far ahead, and a job of another tenant is
placed directly behind the job claimed last.

The clock is stored and never goes back, whatever is deleted. Work that ends before it was claimed is refunded: the
virtual time of its tenant goes back by its cost, and so do the order keys of the tenant's later work.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Largest share of the live workers that jobs of one tenant occupy while another tenant's job waits.
LARGEST_SHARE: Final = 0.75

#: Seconds of work by which a job is preferred whose networks the worker has on its device: as if its order key were so
#: much smaller. Also the seconds after which a worker claims once without preference, so that no job is passed over
#: for ever.
PREFERENCE_S: Final = 30.0


class Queue(StrEnum):
    """Name of a queue, which has a clock."""

    RENDER = "render"
    PROBE = "probe"


def order_keys(queue_s: float, tenant_s: float, costs_s: Sequence[float]) -> tuple[list[float], float]:
    """Assign an order key to each new job or upload of a tenant.

    Args:
        queue_s: clock of the queue, in seconds of predicted work.
        tenant_s: virtual time of the tenant.
        costs_s: their costs, in the order in which they are to be claimed.

    Returns:
        The order keys (smaller ones are claimed first), and the tenant's new virtual time.
    """
    at_s = max(queue_s, tenant_s)
    keys = []
    for cost_s in costs_s:
        keys.append(at_s)
        at_s += cost_s
    return keys, at_s
