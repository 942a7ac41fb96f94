"""The functions behind the operator's commands. All settings come from the environment."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from dubline.orchestration.database.store import Store, schema
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.maintenance import cleaner, scheduler
from dubline.orchestration.maintenance.periodic_tasks import periodic_tasks
from dubline.orchestration.maintenance.sweep import sweep_bucket
from dubline.orchestration.queue import Notifier, create_app
from dubline.orchestration.settings import BrokerSettings, BucketSettings, DatabaseSettings, MaintenanceSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from argparse import Namespace

    from dubline.orchestration.domain.audit import AuditEntry

_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def migrate(_: Namespace) -> int:
    """Migrate the tables to the newest schema."""
    schema.migrate(DatabaseSettings.read())
    return 0


def create_key(arguments: Namespace) -> int:
    """Create an API key of a tenant and print it."""
    with Store.connect(DatabaseSettings.read()) as store:
        sys.stdout.write(store.keys.create(arguments.tenant) + "\n")
    return 0


def create_bucket(_: Namespace) -> int:
    """Create the bucket if it does not exist."""
    Objects(BucketSettings.read()).create_bucket()
    return 0


def maintain(_: Namespace) -> int:
    """Run the periodic tasks until SIGTERM or SIGINT."""
    # Blocked before any thread starts, so that no thread receives them and `sigwait` does.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    notifier = Notifier(create_app(BrokerSettings.read().url.get_secret_value()))
    objects, settings = Objects(BucketSettings.read()), MaintenanceSettings.read()
    with (
        Store.connect(DatabaseSettings.read()) as store,
        scheduler.running(store, periodic_tasks(store, notifier, objects, settings)),
    ):
        signal.sigwait(_STOP_SIGNALS)
    notifier.close()
    return 0


def sweep(arguments: Namespace) -> int:
    """List every object of the bucket once and remove the orphans.

    Returns:
        1 if orphans were found and left: in a dry run, or because most objects are orphans.
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
            "dubline: nothing was removed, because most objects of this bucket have no row in this database. "
            "Check DUBLINE_DATABASE_URL; use --even-most to remove them anyway.\n"
        )
    sys.stdout.write(
        f"objects={found.objects} referenced={found.referenced} pending_deletion={found.pending_deletion} "
        f"orphans={found.orphans}\n"
    )
    return int(refused or (arguments.dry_run and found.orphans > 0))


def retention(arguments: Namespace) -> int:
    """Set the retention of a tenant's files."""
    kept = Retention(inputs_s=arguments.inputs_s, results_s=arguments.results_s)
    with Store.connect(DatabaseSettings.read()) as store:
        store.tenants.set_retention(arguments.tenant, kept)
    return 0


def audit(arguments: Namespace) -> int:
    """Print the audit entries about an upload, a job or a batch, one a line.

    Returns:
        1 if there are none.
    """
    with Store.connect(DatabaseSettings.read()) as store:
        entries = store.deletions.audit(arguments.tenant, arguments.id)
    sys.stdout.writelines(_line(entry) + "\n" for entry in entries)
    return 0 if entries else 1


def _line(entry: AuditEntry) -> str:
    completed = "no" if entry.completed_at is None else entry.completed_at.isoformat(timespec="seconds")
    return (
        f"{entry.at.isoformat(timespec='seconds')} {entry.action} {entry.subject_kind} {entry.subject_id} "
        f"audit={entry.id} actor={entry.actor} objects={entry.objects} completed={completed}"
    )
