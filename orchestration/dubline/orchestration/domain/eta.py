"""When a job is done: the work ahead of it in the fair order, divided by the live workers, and its own time.

The order keys of a tenant's waiting jobs are contiguous, each the end of the job before, so the cost of what is ahead
of a key follows from the first key and the end of each tenant, without reading the jobs. Costs are converted to
seconds by the predicted time of all waiting jobs.

It is an approximation: jobs that arrive later may be placed ahead, pools may not render every preset, limits of tenants
are ignored, and so is what a retried job has already rendered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.orchestration.domain.backlog import Waiting

if TYPE_CHECKING:
    from dubline.orchestration.domain.workload import Predicted, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Eta:
    """Seconds until a job is done."""

    seconds: float
    error_s: float
    """Standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The waiting jobs of one tenant: their order keys, from the first to the end of the last."""

    first: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What the prediction needs of a job that is not final."""

    order_key: float
    preset: str
    crop_size: str
    work_s: float
    """Of a running job, what is left."""
    waits: bool
    """Whether it is queued; a retried job comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """The queue at one time."""

    workload: Workload
    tenants: tuple[Queued, ...]

    def eta(self, job: Open) -> Eta | None:
        """Predict when a job is done; None if it waits and no worker is alive."""
        rate = self.workload.predictor.rate(job.preset, None, job.crop_size)
        own = Eta(seconds=rate.factor * job.work_s, error_s=rate.factor * job.work_s * rate.job_error)
        if not job.waits:
            return own
        start = self._start(job.order_key)
        if start is None:
            return None
        return Eta(seconds=start.seconds + own.seconds, error_s=math.hypot(start.error_s, own.error_s))

    def _start(self, order_key: float) -> Eta | None:
        """Predict when the job with an order key is claimed."""
        workers = sum(self.workload.workers.values())
        if workers == 0:
            return None
        ahead = sum(max(0.0, min(order_key, one.end) - one.first) for one in self.tenants)
        running = self._on_any(Waiting.RUNNING)
        if ahead <= 0 and running.jobs < workers:
            return Eta(seconds=0.0, error_s=0.0)
        waiting = self._on_any(Waiting.CLAIMABLE)
        share = min(1.0, ahead / max(sum(one.end - one.first for one in self.tenants), ahead, 1e-9))
        before = waiting * share + running
        return Eta(seconds=before.device_s / workers, error_s=before.error_s / workers)

    def _on_any(self, place: Waiting) -> Predicted:
        return self.workload.on_any(place)
