"""Commands that keep database and bucket in order: maintenance, sweep and restored."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from prometheus_client import REGISTRY

from dubline.orchestration import metrics, tracing
from dubline.orchestration.database.store import Store
from dubline.orchestration.maintenance import cleaner, scheduler
from dubline.orchestration.maintenance.metrics import BacklogCollector
from dubline.orchestration.maintenance.missing import missing_objects
from dubline.orchestration.maintenance.periodic_tasks import periodic_tasks
from dubline.orchestration.maintenance.sweep import sweep_bucket
from dubline.orchestration.queue import Notifier, create_app
from dubline.orchestration.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    MaintenanceSettings,
    MetricsSettings,
    ScalingSettings,
)
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from argparse import Namespace

_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def maintain(_: Namespace) -> int:
    """Run the periodic tasks until SIGTERM or SIGINT."""
    # Blocked before any thread starts, so that no thread receives them and `sigwait` does.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    notifier = Notifier(create_app(BrokerSettings.read().url.get_secret_value()))
    objects, settings = Objects(BucketSettings.read()), MaintenanceSettings.read()
    published = MetricsSettings.read()
    with Store.connect(DatabaseSettings.read()) as store:
        REGISTRY.register(BacklogCollector(store, pools=[pool.policy() for pool in ScalingSettings.read().pools]))
        with (
            metrics.published(published),
            tracing.configured("maintenance"),
            scheduler.running(store, periodic_tasks(store, notifier, objects, settings), settings.liveness_path),
        ):
            signal.sigwait(_STOP_SIGNALS)
    notifier.close()
    return 0


def sweep(arguments: Namespace) -> int:
    """List every object of the bucket once and remove the orphans.

    Returns:
        1 if orphans were found and left: in a dry run, or because there are too many.
    """
    objects = Objects(BucketSettings.read())
    with Store.connect(DatabaseSettings.read()) as store:
        found = sweep_bucket(
            store,
            objects,
            MaintenanceSettings.read().orphan_age_s,
            dry_run=arguments.dry_run,
            even_most=arguments.even_most,
        )
        if not arguments.dry_run:
            cleaner.clean(store, objects)
    refused = found.refused and not arguments.even_most
    if refused:
        sys.stderr.write(
            "dubline: nothing was removed, because most objects of this bucket, or those of many jobs, have no row in "
            "this database. Check DUBLINE_DATABASE_URL, and whether it is an old copy; use --even-most to remove them "
            "anyway.\n"
        )
    sys.stdout.write(
        f"objects={found.objects} referenced={found.referenced} pending_deletion={found.pending_deletion} "
        f"orphans={found.orphans}\n"
    )
    return int(refused or (arguments.dry_run and found.orphans > 0))


def restored(_: Namespace) -> int:
    """Repair a restored copy of the database, and print the rows whose object is not in the bucket.

    Returns:
        1 if an object is missing.
    """
    number = 0
    with Store.connect(DatabaseSettings.read()) as store:
        store.check()
        events = store.restored.repair_events()
        for number, one in enumerate(missing_objects(store, Objects(BucketSettings.read())), 1):  # noqa: B007 - counted
            sys.stdout.write(f"missing {one.kind} {one.id} {one.key}\n")
    sys.stdout.write(f"missing_objects={number} repaired_events={events}\n")
    return int(number > 0)
