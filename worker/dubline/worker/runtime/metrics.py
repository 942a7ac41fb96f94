"""Metrics of a worker's child process; they begin at 0 when the parent process replaces it."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

from dubline.orchestration.domain.jobs import Outcome
from dubline.orchestration.domain.retry import BUDGETS

if TYPE_CHECKING:
    from dubline.orchestration.domain.jobs import Cause

CLAIMS: Final = Counter("dubline_worker_claims", "Jobs that this worker claimed.", ["pool", "preset"])
LOST: Final = Counter("dubline_worker_leases_lost", "Attempts and probes that ended because their lease was lost.")
STAGES: Final = Counter("dubline_worker_stage_seconds", "Time of attempts in each stage.", ["stage", "preset"])
CACHE: Final = Counter("dubline_model_cache_requests", "Requests for the networks of a preset.", ["preset", "result"])
LOADING: Final = Counter("dubline_model_load_seconds", "Time in which networks were loaded.", ["preset"])
EVICTED: Final = Counter("dubline_model_cache_evictions", "Networks that were removed from the device.", ["preset"])
HELD: Final = Gauge("dubline_model_cache_bytes", "Networks on the device.")
FETCHED: Final = Counter("dubline_weights_fetched", "Versions of weights that were stored on the disk.", ["preset"])
MEMORY_USED: Final = Gauge("dubline_worker_memory_used_bytes", "Memory of the device that is used.", ["device"])
MEMORY_PEAK: Final = Gauge("dubline_worker_memory_peak_bytes", "Most memory that was used at once.", ["device"])
_ATTEMPTS: Final = Counter("dubline_worker_attempts", "Attempts that were recorded.", ["pool", "outcome", "cause"])
_DEVICE: Final = Counter("dubline_worker_device_seconds", "Device time of recorded attempts.", ["pool", "preset"])
_SHARES: Final = Counter("dubline_worker_shares", "Shares of other workers' jobs that ended.", ["pool", "cause"])
#: Ends of attempts that alerts are about. Counted from 0 on, so that the first one is an increase.
_ALARMING: Final = tuple(product((Outcome.RETRIED, Outcome.FAILED), BUDGETS))


def begin_counts(pool: str) -> None:
    """Publish the counts of failures as 0.

    Args:
        pool: of this worker.
    """
    for outcome, cause in _ALARMING:
        _ATTEMPTS.labels(pool, outcome.value, cause.value)


def attempt_ended(pool: str, outcome: Outcome, cause: Cause | None, preset: str, device_s: float) -> None:
    """Count an attempt whose end is recorded."""
    _ATTEMPTS.labels(pool, outcome.value, "none" if cause is None else cause.value).inc()
    _DEVICE.labels(pool, preset).inc(device_s)


def share_ended(pool: str, cause: str, preset: str, device_s: float) -> None:
    """Count a share that ended."""
    _SHARES.labels(pool, cause).inc()
    _DEVICE.labels(pool, preset).inc(device_s)
