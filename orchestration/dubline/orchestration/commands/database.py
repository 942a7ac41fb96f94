"""Commands that change tables and tenants: migrate, retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store, schema
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace


def migrate(_: Namespace) -> int:
    """Migrate the tables to the newest schema."""
    schema.migrate(DatabaseSettings.read())
    return 0


def retention(arguments: Namespace) -> int:
    """Set the retention of a tenant's files."""
    kept = Retention(inputs_s=arguments.inputs_s, results_s=arguments.results_s)
    with Store.connect(DatabaseSettings.read()) as store:
        store.tenants.set_retention(arguments.tenant, kept)
    return 0
