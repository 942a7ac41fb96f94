"""Commands of the audit log: the entries about one object, and an export of the whole log."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace

    from dubline.orchestration.domain.audit import AuditEntry


def show(arguments: Namespace) -> int:
    """Print the audit entries about an upload, a job or a batch, one a line.

    Returns:
        1 if there are none.
    """
    with Store.connect(DatabaseSettings.read()) as store:
        entries = store.deletions.audit(arguments.tenant, arguments.id)
    sys.stdout.writelines(_line(entry) + "\n" for entry in entries)
    return 0 if entries else 1


def export(arguments: Namespace) -> int:
    """Print the audit log of a tenant or of the whole installation as JSON Lines, oldest entries first."""
    after = None
    with Store.connect(DatabaseSettings.read()) as store:
        while entries := store.deletions.audit_page(arguments.tenant, after):
            sys.stdout.writelines(json.dumps(asdict(entry), default=str) + "\n" for entry in entries)
            after = entries[-1].place
    return 0


def _line(entry: AuditEntry) -> str:
    completed = "no" if entry.completed_at is None else entry.completed_at.isoformat(timespec="seconds")
    return (
        f"{entry.at.isoformat(timespec='seconds')} {entry.action} {entry.subject_kind} {entry.subject_id} "
        f"audit={entry.id} actor={entry.actor} objects={entry.objects} completed={completed}"
    )
