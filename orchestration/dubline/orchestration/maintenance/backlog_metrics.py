"""Metrics of predicted times: the backlog by preset, and that of each pool, from which workers are scaled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from dubline.options.render import PRESETS
from dubline.orchestration.demand import demands
from dubline.orchestration.domain.backlog import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dubline.orchestration.domain.workload import Workload
    from dubline.orchestration.scaling.policy import Policy


def families() -> dict[str, GaugeMetricFamily]:
    """Create the metrics without values, by name."""
    created = (
        GaugeMetricFamily("dubline_backlog_seconds", "Predicted device time of jobs.", labels=["state", "preset"]),
        GaugeMetricFamily("dubline_pool_backlog_seconds", "Predicted device time of jobs.", labels=["pool", "state"]),
        GaugeMetricFamily("dubline_pool_backlog_error_seconds", "Standard error of the sum.", labels=["pool"]),
        GaugeMetricFamily("dubline_pool_jobs", "Jobs of a pool.", labels=["pool", "state"]),
    )
    return {family.name: family for family in created}


def filled(workload: Workload, policies: Sequence[Policy]) -> Iterator[GaugeMetricFamily]:
    """Return the metrics with values.

    Args:
        workload: what waits and runs.
        policies: of all pools; as for `demands`.
    """
    created = families()
    found = demands(workload, policies)
    for pool, demand in found.items():
        created["dubline_pool_backlog_seconds"].add_metric([pool, Waiting.CLAIMABLE], demand.waiting_s)
        created["dubline_pool_backlog_seconds"].add_metric([pool, Waiting.RUNNING], demand.running_s)
        created["dubline_pool_backlog_error_seconds"].add_metric([pool], demand.error_s)
        created["dubline_pool_jobs"].add_metric([pool, Waiting.CLAIMABLE], demand.waiting)
        created["dubline_pool_jobs"].add_metric([pool, Waiting.RUNNING], demand.running)
    for preset in sorted({*PRESETS, *(one.preset for one in workload.work)}):
        for place in Waiting:
            device_s = workload.on_any(place, preset).device_s
            created["dubline_backlog_seconds"].add_metric([place, preset], device_s)
    yield from created.values()
