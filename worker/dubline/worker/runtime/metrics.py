"""Metrics of a worker's child process; they begin at 0 when the parent process replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from dubline.orchestration.domain.jobs import Cause, Outcome

CLAIMS: Final = Counter("dubline_worker_claims", "Jobs that this worker claimed.", ["preset"])
LOST: Final = Counter("dubline_worker_leases_lost", "Attempts and probes that ended because their lease was lost.")
CACHE: Final = Counter("dubline_model_cache_requests", "Requests for the networks of a preset.", ["preset", "result"])
LOADING: Final = Counter("dubline_model_load_seconds", "Time in which networks were loaded.", ["preset"])
EVICTED: Final = Counter("dubline_model_cache_evictions", "Networks that were removed from the device.", ["preset"])
HELD: Final = Gauge("dubline_model_cache_bytes", "Networks on the device.")
FETCHED: Final = Counter("dubline_weights_fetched", "Versions of weights that were stored on the disk.", ["preset"])
_ATTEMPTS: Final = Counter("dubline_worker_attempts", "Attempts at jobs that were recorded.", ["outcome", "cause"])
_DEVICE: Final = Counter("dubline_worker_device_seconds", "Device time of recorded attempts.", ["preset"])


def attempt_ended(outcome: Outcome, cause: Cause | None, preset: str, device_s: float) -> None:
    """Count an attempt whose end is recorded."""
    _ATTEMPTS.labels(outcome.value, "none" if cause is None else cause.value).inc()
    _DEVICE.labels(preset).inc(device_s)
