"""Metrics of the maintenance process: its own counters, and numbers that are read from the database."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dubline.options.render import PRESETS
from dubline.orchestration.domain.backlog import TenantClass, Waiting
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.maintenance import backlog_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.backlog import Backlog, JobBacklog
    from dubline.orchestration.domain.workload import Workload
    from dubline.orchestration.scaling.policy import Policy

#: Seconds for which what was read is used again, so that many scrapers cost no more than one.
CACHE_S: Final = 5.0

RESCUED: Final = Counter("dubline_leases_rescued", "Expired leases that were taken from lost workers.", ["kind"])
OVERDUE: Final = Counter("dubline_jobs_past_deadline", "Jobs that failed because their deadline passed.")
RUNS: Final = Counter("dubline_maintenance_runs", "Runs of a periodic task in this process.", ["task", "result"])
for _kind in ("job", "share", "upload"):
    RESCUED.labels(_kind)


def begin_counts(tasks: Iterable[str]) -> None:
    """Publish the counts of periodic tasks as 0, so that a task that never runs is seen.

    Args:
        tasks: names of the tasks.
    """
    for task in tasks:
        for result in ("succeeded", "failed"):
            RUNS.labels(task, result)


class BacklogCollector(Collector):
    """Reads the backlog when it is scraped; without the database its metrics are absent, never 0.

    Args:
        store: the rows.
        clock: a monotonic clock, in seconds.
        pools: the pools that are scaled; none: those that have workers.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic, pools: Sequence[Policy] = ()) -> None:
        self._store = store
        self._pools = pools
        self._clock = clock
        self._lock = Lock()
        self._read_at_s = float("-inf")
        self._read: tuple[Backlog, Workload] | None = None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """List the metrics without values, so that registering reads nothing."""
        yield from _families().values()
        yield from backlog_metrics.families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics with values, at most `CACHE_S` seconds old; none without the database."""
        with self._lock:
            if self._clock() - self._read_at_s >= CACHE_S:
                # An error is kept as long as a success: a database in trouble is not asked more often.
                self._read = self._try_read()
                self._read_at_s = self._clock()
            read = self._read
        if read is not None:
            backlog, workload = read
            yield from _filled(backlog)
            yield from backlog_metrics.filled(workload, self._pools)

    def _try_read(self) -> tuple[Backlog, Workload] | None:
        try:
            return self._store.backlogs.read(), self._store.predictions.workload()
        except DatabaseUnavailableError:
            return None


def _families() -> dict[str, GaugeMetricFamily]:
    """Create the metrics of the database without values, by name."""
    families = (
        GaugeMetricFamily("dubline_queue_jobs", "Jobs by place.", labels=["state", "preset", "tenant_class"]),
        GaugeMetricFamily(
            "dubline_queue_oldest_seconds", "Age of the oldest claimable job.", labels=["preset", "tenant_class"]
        ),
        GaugeMetricFamily("dubline_open_jobs", "All jobs that are not final."),
        GaugeMetricFamily("dubline_queue_probes", "Uploads that wait for a prober."),
        GaugeMetricFamily("dubline_queue_probes_oldest_seconds", "Age of the oldest upload that waits for a prober."),
        GaugeMetricFamily("dubline_workers_quarantined", "Workers that failed their self-test."),
        GaugeMetricFamily("dubline_outbox_oldest_seconds", "Age of the oldest unpublished notification."),
        GaugeMetricFamily("dubline_stored_bytes", "Bytes of uploads and videos."),
    )
    return {family.name: family for family in families}


def _filled(backlog: Backlog) -> Iterator[GaugeMetricFamily]:
    families = _families()
    for preset in sorted({*PRESETS, *(one.preset for one in backlog.jobs)}):
        _add_preset(families, preset, [one for one in backlog.jobs if one.preset == preset])
    families["dubline_open_jobs"].add_metric([], backlog.open_jobs)
    families["dubline_queue_probes"].add_metric([], backlog.probes)
    families["dubline_queue_probes_oldest_seconds"].add_metric([], backlog.oldest_probe_s)
    families["dubline_workers_quarantined"].add_metric([], backlog.quarantined_workers)
    families["dubline_outbox_oldest_seconds"].add_metric([], backlog.outbox_oldest_s)
    families["dubline_stored_bytes"].add_metric([], backlog.stored_bytes)
    yield from families.values()


def _add_preset(families: dict[str, GaugeMetricFamily], preset: str, jobs: list[JobBacklog]) -> None:
    """Add every place and class of one preset, also those without jobs, whose numbers are 0."""
    read = {(one.waiting, one.tenant_class): one for one in jobs}
    for tenant_class in TenantClass:
        for waiting in Waiting:
            one = read.get((waiting, tenant_class))
            families["dubline_queue_jobs"].add_metric([waiting, preset, tenant_class], one.jobs if one else 0)
        oldest = read.get((Waiting.CLAIMABLE, tenant_class))
        age_s = oldest.oldest_s if oldest else 0.0
        families["dubline_queue_oldest_seconds"].add_metric([preset, tenant_class], age_s)
