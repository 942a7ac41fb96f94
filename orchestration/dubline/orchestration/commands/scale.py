"""The command that scales the pools of workers on Kubernetes."""

from __future__ import annotations

import secrets
import signal
import sys
from typing import TYPE_CHECKING, Final

from dubline.orchestration import metrics
from dubline.orchestration.cluster.api import Cluster
from dubline.orchestration.cluster.errors import ClusterSettingsError
from dubline.orchestration.cluster.scaler import Scaler
from dubline.orchestration.database.store import Store
from dubline.orchestration.maintenance import scheduler
from dubline.orchestration.maintenance.periodic_tasks import LOCKS
from dubline.orchestration.settings import DatabaseSettings, MetricsSettings, ScalingSettings

if TYPE_CHECKING:
    from argparse import Namespace

#: Its advisory lock: only one loop makes passes, because each depends on the one before. Numbers below it are those of
#: the maintenance tasks.
LOCK: Final = LOCKS + 0x40
#: Numbers from which a dry run takes one at random, because it changes nothing and must not keep others from it.
DRY_RUN_LOCKS: Final = LOCKS + 0x100
_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def scale(arguments: Namespace) -> int:
    """Scale the pools until SIGTERM or SIGINT.

    Returns:
        0 after a stop; 2 if there is no pool or no cluster.
    """
    settings, published = ScalingSettings.read(), MetricsSettings.read()
    if not settings.pools:
        sys.stderr.write("dubline: there is no pool to scale; describe at least one in DUBLINE_SCALING_POOLS.\n")
        return 2
    try:
        cluster = Cluster.connect(settings.namespace)
    except ClusterSettingsError as error:
        sys.stderr.write(f"dubline: {error}.\n")
        return 2
    # Blocked before any thread starts, so that no thread receives them and `sigwait` does.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    with Store.connect(DatabaseSettings.read()) as store:
        scaler = Scaler(store, cluster, settings.pools, dry_run=arguments.dry_run)
        task = scheduler.PeriodicTask(
            name="scale",
            lock=DRY_RUN_LOCKS + secrets.randbelow(2**20) if arguments.dry_run else LOCK,
            period_s=settings.period_s,
            run=scaler.run,
            memory=scaler.memory,
        )
        with metrics.published(published), scheduler.running(store, (task,), settings.liveness_path):
            signal.sigwait(_STOP_SIGNALS)
    return 0
