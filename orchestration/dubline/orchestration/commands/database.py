"""Commands that need the database only: migrate, create-key, retention, audit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store, schema
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace

    from dubline.orchestration.domain.audit import AuditEntry


def migrate(_: Namespace) -> int:
    """Migrate the tables to the newest schema."""
    schema.migrate(DatabaseSettings.read())
    return 0


def create_key(arguments: Namespace) -> int:
    """Create an API key of a tenant and print it."""
    with Store.connect(DatabaseSettings.read()) as store:
        sys.stdout.write(store.keys.create(arguments.tenant) + "\n")
    return 0


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
