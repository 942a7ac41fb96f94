"""What each of the operator's commands does; all settings come from the environment."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final

from dubline.orchestration.database.store import Store, schema
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.maintenance import cleaner, scheduler
from dubline.orchestration.maintenance.periodic_tasks import duties
from dubline.orchestration.maintenance.sweep import sweep_bucket
from dubline.orchestration.queue import Waker, create_app
from dubline.orchestration.settings import BrokerSettings, BucketSettings, ControlSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from argparse import Namespace

    from dubline.orchestration.domain.audit import AuditEntry

_STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def migrate(_: Namespace) -> int:
    """Bring the tables to the newest schema."""
    schema.migrate(DatabaseSettings.read())
    return 0


def create_key(asked: Namespace) -> int:
    """Make an API key of a tenant and print it."""
    with Store.connect(DatabaseSettings.read()) as store:
        sys.stdout.write(store.keys.create(asked.tenant) + "\n")
    return 0


def create_bucket(_: Namespace) -> int:
    """Create the bucket where it is missing."""
    Objects(BucketSettings.read()).create_bucket()
    return 0


def serve(_: Namespace) -> int:
    """Be a control process until SIGTERM or SIGINT."""
    # Blocked before there are threads, so that every one of them leaves the signals to us.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    waker = Waker(create_app(BrokerSettings.read().url.get_secret_value()))
    objects, often = Objects(BucketSettings.read()), ControlSettings.read()
    with (
        Store.connect(DatabaseSettings.read()) as store,
        scheduler.serving(store, duties(store, waker, objects, often)),
    ):
        signal.sigwait(_STOPS)
    waker.close()
    return 0


def sweep(asked: Namespace) -> int:
    """Look at every object of the bucket once, and remove those that no row needs.

    Returns:
        1 if orphans were found and left: in a dry run, or because they were most of what is there.
    """
    objects = Objects(BucketSettings.read())
    with Store.connect(DatabaseSettings.read()) as store:
        found = sweep_bucket(
            store, objects, ControlSettings.read().orphan_age_s, dry_run=asked.dry_run, even_most=asked.even_most
        )
        if not asked.dry_run:
            cleaner.clear(store, objects)
    refused = found.refused and not asked.even_most
    if refused:
        sys.stderr.write(
            "dubline: most objects of this bucket are of no row, so nothing was removed. Is this the right database? "
            "If they are to go, say --even-most.\n"
        )
    sys.stdout.write(
        f"objects={found.objects} referenced={found.referenced} doomed={found.doomed} orphans={found.orphans}\n"
    )
    return int(refused or (asked.dry_run and found.orphans > 0))


def retention(asked: Namespace) -> int:
    """Say how long files of a tenant are kept."""
    with Store.connect(DatabaseSettings.read()) as store:
        store.tenants.set_retention(asked.tenant, Retention(inputs_s=asked.inputs_s, results_s=asked.results_s))
    return 0


def audit(asked: Namespace) -> int:
    """Print what is written down about the deletion of an upload, a job or a batch, a line for each entry.

    Returns:
        1 where nothing is.
    """
    with Store.connect(DatabaseSettings.read()) as store:
        entries = store.deletions.audit(asked.tenant, asked.id)
    sys.stdout.writelines(_line(entry) + "\n" for entry in entries)
    return 0 if entries else 1


def _line(entry: AuditEntry) -> str:
    completed = "no" if entry.completed_at is None else entry.completed_at.isoformat(timespec="seconds")
    return (
        f"{entry.at.isoformat(timespec='seconds')} {entry.action} {entry.subject_kind} {entry.subject_id} "
        f"audit={entry.id} actor={entry.actor} objects={entry.objects} completed={completed}"
    )
